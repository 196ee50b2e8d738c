// The person is back from another service: what it said goes on by itself. The address,
// which holds it too, is not kept in the history.
history.replaceState(null, '', location.pathname);
document.querySelector('form[data-back]').requestSubmit();
