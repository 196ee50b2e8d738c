// A wallet made of libraries that others wrote: @owf/mdoc, @sd-jwt/sd-jwt-vc,
// @openid4vc/openid4vp and jose. It reads one JSON object from standard input, issues a
// document with the keys in it, answers the request in it, and writes the answer.
import {
  CoseKey,
  DateOnly,
  DeviceKey,
  DeviceRequest,
  DocRequest,
  Holder,
  Issuer,
  ItemsRequest,
  SessionTranscript,
  SignatureAlgorithm,
} from '@owf/mdoc';
import { Openid4vpClient } from '@openid4vc/openid4vp';
import { digest, generateSalt } from '@sd-jwt/crypto-nodejs';
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc';
import * as jose from 'jose';
import crypto from 'node:crypto';
import { text } from 'node:stream/consumers';

const input = JSON.parse(await text(process.stdin));
const docType = 'org.iso.18013.5.1.mDL';
const space = 'org.iso.18013.5.1';
const sign = (key, bytes) => crypto.sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' });
const device = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });

const context = {
  crypto: {
    random: (n) => new Uint8Array(crypto.randomBytes(n)),
    digest: ({ digestAlgorithm, bytes }) =>
      new Uint8Array(crypto.createHash(String(digestAlgorithm).replace('-', '').toLowerCase()).update(bytes).digest()),
  },
  cose: {
    sign1: {
      sign: ({ toBeSigned, key }) => new Uint8Array(sign(crypto.createPrivateKey({ key: key.jwk, format: 'jwk' }), toBeSigned)),
    },
  },
};

const privateJWK = (key) => ({ ...key.export({ format: 'jwk' }), alg: 'ES256' });

// What each side calls a member of the request, as its client understood it.
const callbacks = {
  fetch,
  hash: (bytes, alg) => new Uint8Array(crypto.createHash(alg.replace('-', '')).update(bytes).digest()),
  verifyJwt: async (signer, { compact }) => {
    const key = new crypto.X509Certificate(Buffer.from(signer.x5c[0], 'base64')).publicKey;
    await jose.compactVerify(compact, key);
    return { verified: true, signerJwk: await jose.exportJWK(key) };
  },
  decryptJwe: async () => ({ decrypted: false }),
  encryptJwe: async (to, data) => ({
    jwe: await encrypt(to.publicJwk, to.alg, to.enc, data),
    encryptionJwk: to.publicJwk,
  }),
  signJwt: async () => {
    throw new Error('nothing to sign');
  },
  generateRandom: (n) => crypto.randomBytes(n),
  getX509CertificateMetadata: (der) => ({
    sanDnsNames: (new crypto.X509Certificate(Buffer.from(der, 'base64')).subjectAltName ?? '')
      .split(', ')
      .filter((s) => s.startsWith('DNS:'))
      .map((s) => s.slice(4)),
    sanUriNames: [],
  }),
  clientAuthentication: async () => {},
};

async function encrypt(jwk, alg, enc, data) {
  return new jose.CompactEncrypt(new TextEncoder().encode(data))
    .setProtectedHeader({ alg, enc, kid: jwk.kid })
    .encrypt(await jose.importJWK(jwk, alg));
}

// resolve lets the library of others judge our request.
async function resolve() {
  const client = new Openid4vpClient({ callbacks });
  if (input.transport === 'redirect') {
    const parsed = client.parseOpenid4vpAuthorizationRequest({
      authorizationRequest: `openid4vp://?client_id=${encodeURIComponent(input.client_id)}&request=${encodeURIComponent(input.request)}`,
    });
    return [client, await client.resolveOpenId4vpAuthorizationRequest({ authorizationRequestPayload: parsed.params })];
  }
  const data = input.protocol === 'openid4vp-v1-signed' ? { request: input.request } : input.request;
  return [client, await client.resolveOpenId4vpAuthorizationRequest({ authorizationRequestPayload: data, origin: input.origin })];
}

async function thumbprint(jwk) {
  return new Uint8Array(Buffer.from(await jose.calculateJwkThumbprint(jwk), 'base64url'));
}

async function mdoc(payload, jwk) {
  const issuer = new Issuer(docType, context);
  issuer.addIssuerNamespace(space, {
    ...input.person,
    birth_date: new DateOnly(input.person.birth_date),
    expiry_date: new DateOnly(input.person.expiry_date),
  });
  const now = Date.now();
  const signed = await issuer.sign({
    signingKey: CoseKey.fromJwk(privateJWK(crypto.createPrivateKey(input.document_key))),
    algorithm: SignatureAlgorithm.ES256,
    digestAlgorithm: 'SHA-256',
    certificates: [new Uint8Array(Buffer.from(input.document_certificate, 'base64'))],
    validityInfo: { signed: new Date(now), validFrom: new Date(now), validUntil: new Date(now + 864e5) },
    deviceKeyInfo: { deviceKey: DeviceKey.fromJwk(device.publicKey.export({ format: 'jwk' })) },
  });
  const jwkThumbprint = await thumbprint(jwk);
  const transcript =
    input.transport === 'redirect'
      ? await SessionTranscript.forOid4Vp(
          { clientId: payload.client_id, nonce: payload.nonce, responseUri: payload.response_uri, jwkThumbprint },
          context,
        )
      : await SessionTranscript.forOid4VpDcApi({ origin: input.origin, nonce: payload.nonce, jwkThumbprint }, context);
  const names = payload.dcql_query.credentials.find((c) => c.id === 'mdl').claims.map((c) => c.path[1]);
  const request = DeviceRequest.create({
    version: '1.0',
    docRequests: [
      DocRequest.create({
        itemsRequest: ItemsRequest.create({ docType, namespaces: new Map([[space, new Map(names.map((n) => [n, false]))]]) }),
      }),
    ],
  });
  const response = await Holder.createDeviceResponseForDeviceRequest(
    {
      deviceRequest: request,
      sessionTranscript: transcript,
      issuerSigned: [signed],
      signature: { signingKey: CoseKey.fromJwk(privateJWK(device.privateKey)) },
    },
    context,
  );
  return Buffer.from(response.encode()).toString('base64url');
}

async function sdjwt(payload) {
  const issuer = crypto.createPrivateKey(input.credential_key);
  const vc = new SDJwtVcInstance({
    signer: async (data) => sign(issuer, Buffer.from(data)).toString('base64url'),
    signAlg: 'ES256',
    hasher: digest,
    hashAlg: 'sha-256',
    saltGenerator: generateSalt,
    kbSigner: async (data) => sign(device.privateKey, Buffer.from(data)).toString('base64url'),
    kbSignAlg: 'ES256',
  });
  const now = Math.floor(Date.now() / 1000);
  const names = ['given_name', 'family_name', 'birthdate', 'address'];
  const credential = await vc.issue(
    {
      iss: 'https://pid.example',
      vct: 'urn:eudi:pid:1',
      iat: now,
      exp: now + 3600,
      cnf: { jwk: device.publicKey.export({ format: 'jwk' }) },
      given_name: input.person.given_name,
      family_name: input.person.family_name,
      birthdate: input.person.birth_date,
      address: { locality: 'Köln', country: 'DE' },
    },
    { _sd: names, address: { _sd: ['locality', 'country'] } },
    { header: { x5c: [input.credential_certificate], typ: 'dc+sd-jwt' } },
  );
  const aud = input.transport === 'redirect' ? payload.client_id : `origin:${input.origin}`;
  return vc.present(
    credential,
    { given_name: true, family_name: true, birthdate: true, address: { country: true } },
    { kb: { payload: { iat: now, aud, nonce: payload.nonce } } },
  );
}

const [client, resolved] = await resolve();
const payload = resolved.authorizationRequestPayload;
const jwk = payload.client_metadata.jwks.keys[0];
const presentation = input.query === 'mdl' ? await mdoc(payload, jwk) : await sdjwt(payload);
const answer = await client.createOpenid4vpAuthorizationResponse({
  authorizationRequestPayload: payload,
  authorizationResponsePayload: { vp_token: { [input.query]: [presentation] } },
  origin: input.origin,
  jarm: {
    encryption: { nonce: crypto.randomBytes(16).toString('base64url') },
    serverMetadata: {
      authorization_encryption_alg_values_supported: ['ECDH-ES'],
      authorization_encryption_enc_values_supported: [input.enc],
    },
  },
});
process.stdout.write(
  JSON.stringify({
    client: resolved.client?.effective ?? resolved.client?.identifier ?? '',
    version: resolved.version,
    queries: resolved.dcql?.query?.credentials?.length ?? 0,
    response: answer.jarm?.responseJwt ?? '',
    plain: answer.jarm ? undefined : answer.authorizationResponsePayload,
  }),
);
