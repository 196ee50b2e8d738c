// What the script of a method is given by the page, and gives back to it.
const form = document.querySelector('form[data-answer]');
const box = document.querySelector('#ask-fail');

/** request is what the hub asks, or null. */
export const request = JSON.parse(document.querySelector('#request')?.textContent || 'null');

// What people themselves stopped is said in other words than what failed.
const refused = ['NotAllowedError', 'AbortError'];

function failed(error) {
  for (const p of box.querySelectorAll('[data-fail]')) {
    p.hidden = (p.dataset.fail === 'refused') !== refused.includes(error?.name);
  }
  box.hidden = false;
  box.focus();
}

/**
 * ceremony shows the page's button. Pressed, it lets run make the answer to the request,
 * which is sent as JSON. What run throws is said on the page, and the button stays.
 */
export function ceremony(run) {
  const button = form.querySelector('[data-ceremony]');
  button.hidden = false;
  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-disabled') === 'true' || !form.reportValidity()) return;
    button.setAttribute('aria-disabled', 'true');
    box.hidden = true;
    try {
      form.elements.answer.value = JSON.stringify(await run(request));
    } catch (error) {
      button.removeAttribute('aria-disabled');
      return failed(error);
    }
    form.requestSubmit();
  });
}
