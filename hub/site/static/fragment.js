// The secret of a link stands in the fragment, which no server and no log sees. It goes
// into the form, and out of the address, before anybody presses the button.
const form = document.querySelector('form[data-fragment]');
const token = location.hash.slice(1);
if (token) {
  form.elements.token.value = token;
  history.replaceState(null, '', location.pathname + location.search);
}
form.hidden = !token;
document.querySelector('[data-no-fragment]').hidden = Boolean(token);
