// A relying party as others wrote it: openid-client. Standard input says line by line how
// it is registered and what the browser brought back; standard output says line by line
// where the browser is sent, and what was learnt.
import { createInterface } from 'node:readline';
import * as client from 'openid-client';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const hear = async () => JSON.parse((await lines.next()).value);
const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

const conf = await hear();

async function authentication() {
  switch (conf.auth) {
    case 'client_secret_basic':
      return client.ClientSecretBasic(conf.secret);
    case 'client_secret_post':
      return client.ClientSecretPost(conf.secret);
  }
  const key = await crypto.subtle.importKey('jwk', conf.key, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
  return client.PrivateKeyJwt({ key, kid: conf.key.kid });
}

const config = await client.discovery(new URL(conf.issuer), conf.client, { id_token_signed_response_alg: conf.algorithm }, await authentication());
const checks = { pkceCodeVerifier: client.randomPKCECodeVerifier(), expectedState: client.randomState(), expectedNonce: client.randomNonce(), idTokenExpected: true };
const parameters = {
  redirect_uri: conf.callback,
  scope: conf.scope,
  response_mode: conf.mode,
  state: checks.expectedState,
  nonce: checks.expectedNonce,
  code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
  code_challenge_method: 'S256',
};
const build = conf.pushed ? client.buildAuthorizationUrlWithPAR : client.buildAuthorizationUrl;
say({ url: String(await build(config, parameters)) });

const back = await hear();
let answer = new URL(back.url);
if (answer.hash) answer.search = answer.hash.slice(1); // what a page's script hands on
if (back.form) {
  answer = new Request(answer, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: back.form });
}
const tokens = await client.authorizationCodeGrant(config, answer, checks);
const claims = tokens.claims();
const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
const end = client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: conf.callback });
say({ claims, info, end: String(end), header: JSON.parse(Buffer.from(tokens.id_token.split('.')[0], 'base64url')) });
process.exit(0);
