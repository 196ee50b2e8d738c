// An OpenID provider as others wrote it: oidc-provider. Everybody who comes is signed in
// at once as the one person of the configuration on standard input; one line on standard
// output names the issuer.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { client, person } = JSON.parse(Buffer.concat(chunks));

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(issuer, {
  clients: [{ ...client, grant_types: ['authorization_code'], response_types: ['code'], id_token_signed_response_alg: 'ES256' }],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'ES256' }] },
  cookies: { keys: ['a key of a test'] },
  acrValues: ['phr'],
  claims: { openid: ['sub'], profile: ['given_name', 'family_name', 'birthdate'], acr: null, amr: null, auth_time: null },
  conformIdTokenClaims: true, // names come in the id_token only because they were asked for there
  features: {
    devInteractions: { enabled: false },
    claimsParameter: { enabled: true },
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true },
  },
  pkce: { required: () => true },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...person }) }),
});
provider.on('server_error', (ctx, error) => console.error(error));

// interact signs in, and then grants what was asked for.
async function interact(req, res) {
  const { prompt, params, session } = await provider.interactionDetails(req, res);
  if (prompt.name === 'login') {
    return provider.interactionFinished(req, res, { login: { accountId: 'somebody', acr: 'phr', amr: ['hwk'], ts: Math.floor(Date.now() / 1000) } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  grant.addOIDCClaims(['given_name', 'family_name', 'birthdate']);
  return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
}

const callback = provider.callback();
server.on('request', (req, res) => {
  if (!req.url.startsWith('/interaction/')) return callback(req, res);
  interact(req, res).catch((error) => {
    console.error(error);
    res.writeHead(500).end();
  });
});
console.log(issuer);
