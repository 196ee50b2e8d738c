// A passkey is used, or made: the page's request says which. Requests are those of
// WebAuthn Level 3 in JSON, bytes in base64url; answers are those of protocol/evidence,
// bytes in base64.
import { ceremony } from './ask.js';
import { decode } from './seal.js';

const bytes = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
const descriptors = (list) => (list ?? []).map((c) => ({ ...c, id: decode(c.id) }));

async function use(q) {
  const publicKey = { ...q, challenge: decode(q.challenge), allowCredentials: descriptors(q.allowCredentials) };
  const { rawId, response } = await navigator.credentials.get({ publicKey });
  return {
    credential: bytes(rawId),
    authenticator_data: bytes(response.authenticatorData),
    client_data: bytes(response.clientDataJSON),
    signature: bytes(response.signature),
    user_handle: bytes(response.userHandle ?? []),
  };
}

async function make(q) {
  const publicKey = {
    ...q,
    challenge: decode(q.challenge),
    user: { ...q.user, id: decode(q.user.id) },
    excludeCredentials: descriptors(q.excludeCredentials),
  };
  const { response } = await navigator.credentials.create({ publicKey });
  return { client_data: bytes(response.clientDataJSON), attestation: bytes(response.attestationObject) };
}

ceremony((q) => (q.pubKeyCredParams ? make(q) : use(q)));
