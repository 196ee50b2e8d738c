// Times in the reader's zone, and a page that follows a synchronisation under way.
const language = document.documentElement.lang;
const region = navigator.languages?.find((l) => l.split('-')[0] === language.split('-')[0]) ?? language;
for (const t of document.querySelectorAll('time[data-form]')) {
  const date = t.dataset.form === 'date' ? { day: 'numeric', month: 'short', year: 'numeric' } : {};
  t.textContent = new Intl.DateTimeFormat(region, { ...date, hour: 'numeric', minute: '2-digit', timeZoneName: 'short' }).format(new Date(t.dateTime));
}

const again = 3000;
const follow = () => {
  if (document.hidden || document.activeElement?.closest('main form')) setTimeout(follow, again);
  else location.reload();
};
if (document.querySelector('[data-follow]')) setTimeout(follow, again);
document.documentElement.dataset.ready = 'yes';
