// A document from a wallet: through the browser's Digital Credentials API, or by a link to
// a wallet on this device, which sends the person back with a code in the fragment.
import { ceremony, request } from './ask.js';

const kept = 'wallet.page'; // not among the keys of recipients, which seal.js sweeps
const pages = /^\/(r|request)\/[A-Za-z0-9_-]{22}$/;

/** left is the page from which the person went to a wallet, or null. */
export function left() {
  try {
    const page = localStorage.getItem(kept);
    localStorage.removeItem(kept);
    return pages.test(page) ? page : null;
  } catch {
    return null; // a browser that keeps nothing
  }
}

function leave() {
  try {
    localStorage.setItem(kept, location.pathname);
  } catch {
    // The page to come back to says what to do.
  }
}

// A wallet that fails fulfils the promise all the same.
async function present({ digital }) {
  const { protocol, data } = await navigator.credentials.get({ mediation: 'required', digital: { requests: digital } });
  if (!data?.response) throw new Error(data?.error ?? 'no response');
  return { protocol, data };
}

function ask() {
  const browser = 'DigitalCredential' in window;
  if (browser) ceremony(present);
  const link = document.querySelector('[data-wallet]');
  const phone = matchMedia('(pointer: coarse)').matches;
  link.querySelector('a').href = request.link;
  link.querySelector('a').addEventListener('click', leave);
  const page = /^https?:/.test(request.link); // a wallet that is a page opens anywhere
  link.hidden = !phone && !page;
  document.querySelector('[data-no-wallet]').hidden = browser || phone || page;
}

// What the wallet sent back belongs to this page alone and does not stay in its address.
function redeem(code) {
  const form = document.querySelector('form[data-answer]');
  history.replaceState(null, '', location.pathname + location.search);
  form.elements.answer.value = JSON.stringify({ response_code: code });
  form.requestSubmit();
}

if (request?.digital) {
  const code = new URLSearchParams(location.hash.slice(1)).get('response_code');
  if (code) redeem(code);
  else ask();
}
