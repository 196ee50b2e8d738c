// A passkey signs in, or is made: the page's request says which. Bytes of requests are in
// base64url (WebAuthn Level 3), of answers in base64. A page with the secret of an
// invitation in its address moves it into its form.
const bytes = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
const decode = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
const descriptors = (list) => (list ?? []).map((c) => ({ ...c, id: decode(c.id) }));

async function use(q) {
  const publicKey = { ...q, challenge: decode(q.challenge), allowCredentials: descriptors(q.allowCredentials) };
  const { rawId, response: r } = await navigator.credentials.get({ publicKey });
  return {
    credential: bytes(rawId), authenticator_data: bytes(r.authenticatorData), client_data: bytes(r.clientDataJSON),
    signature: bytes(r.signature), user_handle: bytes(r.userHandle ?? []),
  };
}

async function make(q) {
  const publicKey = { ...q, challenge: decode(q.challenge), user: { ...q.user, id: decode(q.user.id) }, excludeCredentials: descriptors(q.excludeCredentials) };
  const { response: r } = await navigator.credentials.create({ publicKey });
  return { client_data: bytes(r.clientDataJSON), attestation: bytes(r.attestationObject) };
}

const form = document.querySelector('form[data-key]');
if (form) {
  const request = JSON.parse(document.querySelector('#request').textContent);
  const button = form.querySelector('[data-ceremony]');
  const fail = document.querySelector('#key-fail');
  button.hidden = false;
  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-disabled') === 'true') return;
    button.setAttribute('aria-disabled', 'true');
    fail.hidden = true;
    try {
      form.elements.answer.value = JSON.stringify(await (request.pubKeyCredParams ? make(request) : use(request)));
    } catch {
      button.removeAttribute('aria-disabled');
      fail.hidden = false;
      return fail.focus();
    }
    form.requestSubmit();
  });
}

const link = document.querySelector('form[data-fragment]');
if (link) {
  const token = location.hash.slice(1);
  if (token) history.replaceState(null, '', location.pathname + location.search);
  link.elements.token.value = token;
  // A change of the language takes it along, where no server sees it.
  for (const other of document.querySelectorAll('.langs a')) other.addEventListener('click', () => { other.hash = token; });
  link.hidden = !token;
  document.querySelector('[data-no-fragment]').hidden = Boolean(token);
}
