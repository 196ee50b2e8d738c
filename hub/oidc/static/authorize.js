// The page at which the browser waits that began a sign-in: it asks how it stands, shows
// the next page when that changes, and leads back to the client when it is over. Without
// this script the page loads itself again.
const box = document.querySelector('[data-poll]');
const offline = box.querySelector('[data-say=offline]');
const began = Date.now();

async function ask() {
  const elapsed = Date.now() - began;
  try {
    const answer = await fetch(box.dataset.poll, { cache: 'no-store', credentials: 'same-origin', headers: { accept: 'application/json' } });
    if (!answer.ok) throw new Error(answer.status);
    offline.hidden = true;
    const { status, redirect_uri: to, last_event: last } = await answer.json();
    if (status !== 100) return location.replace(to ?? box.dataset.page);
    if (last.event !== box.dataset.at) return location.replace(box.dataset.page);
  } catch {
    offline.hidden = false;
  }
  setTimeout(ask, elapsed < 120_000 ? 1500 : 5000);
}

ask();
document.documentElement.dataset.ready = 'yes';
