// What pages do beyond plain forms. Every page works without it, except that only this
// script can open a sealed result. It writes text, never markup.
import * as seal from './seal.js';

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const language = document.documentElement.lang;
// The reader's region where the browser speaks the page's language: 2:05 pm or 14:05.
const region = navigator.languages?.find((l) => l.split('-')[0] === language.split('-')[0]) ?? language;

function localTimes() {
  const forms = {
    clock: { hour: 'numeric', minute: '2-digit', timeZoneName: 'short' },
    date: { day: 'numeric', month: 'long', year: 'numeric', hour: 'numeric', minute: '2-digit', timeZoneName: 'short' },
  };
  for (const t of all('time[data-form]')) {
    t.textContent = new Intl.DateTimeFormat(region, forms[t.dataset.form]).format(new Date(t.dateTime));
  }
}

// A pressed button says that it was heard, and is not pressed twice.
function busyForms() {
  const slow = 10_000;
  for (const form of all('form')) {
    form.addEventListener('submit', (event) => {
      if (event.defaultPrevented) return;
      if (form.dataset.sent) return event.preventDefault();
      const button = event.submitter ?? one('button', form);
      form.dataset.sent = 'yes';
      button.setAttribute('aria-disabled', 'true');
      const say = one('#busy');
      say.textContent = say.dataset.busy;
      form.slow = setTimeout(() => {
        say.classList.remove('sr');
        say.textContent = say.dataset.slow;
      }, slow);
    });
  }
  // A page that comes back from the browser's memory is as good as new.
  addEventListener('pageshow', () => {
    for (const form of all('form')) {
      delete form.dataset.sent;
      clearTimeout(form.slow);
      one('button', form)?.removeAttribute('aria-disabled');
    }
  });
}

// Until a time has come, a button waits and a sentence says how long.
function countdowns() {
  for (const p of all('[data-until]')) {
    const button = document.getElementById(p.dataset.button);
    const until = Date.parse(p.dataset.until);
    const format = new Intl.RelativeTimeFormat(region, { numeric: 'always' });
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      p.hidden = left <= 0;
      if (button) button.disabled = left > 0;
      if (left <= 0) return;
      const when = left < 90 ? format.format(left, 'second') : format.format(Math.ceil(left / 60), 'minute');
      p.textContent = p.dataset.in.replace('{in}', when);
      setTimeout(tick, 1000);
    };
    tick();
  }
}

// The page that waits asks for the state and says honestly how it stands.
function waiting() {
  const box = one('[data-state]');
  if (!box) return;
  const began = Date.now() - 1000 * Number(box.dataset.elapsed);
  const say = (name) => {
    const p = one(`[data-say="${name}"]`, box);
    if (p) p.hidden = false;
  };
  const offline = one('[data-say="offline"]', box);
  const ask = async () => {
    const elapsed = Date.now() - began;
    if (elapsed > 10_000) say('10');
    if (elapsed > 30_000) say('30');
    try {
      const answer = await fetch(box.dataset.state, { cache: 'no-store', credentials: 'same-origin' });
      if (!answer.ok) throw new Error(answer.status);
      offline.hidden = true;
      if ((await answer.json()).at !== box.dataset.at) return box.dataset.then ? location.assign(box.dataset.then) : location.reload();
    } catch {
      offline.hidden = false;
    }
    setTimeout(ask, elapsed < 15_000 ? 700 : elapsed < 120_000 ? 2500 : 10_000);
  };
  ask();
}

// The press of the button carries the key that the result is to be sealed to. What kept the
// browser from making one while the page came may have passed: each press tries once more,
// and says so only when that fails as well.
function recipients() {
  const form = one('form[data-recipient]');
  if (!form) return;
  const { recovery, expires } = form.dataset;
  const make = async () => {
    const pair = await seal.keep(recovery, Date.parse(expires));
    form.elements.recipient.value = seal.encode(await seal.recipient(pair));
  };
  const fail = () => {
    one('#no-key').hidden = false;
    one('#no-key').focus();
  };
  // Where only some choices need the key, the others do not wait for it.
  const needed = () => form.dataset.recipient !== 'bound' || one('[data-bound]:checked', form);
  let made = make();
  made.catch(() => {}); // nobody has pressed yet
  form.addEventListener('submit', (event) => {
    if (form.elements.recipient.value || !needed()) return;
    event.preventDefault();
    one('#no-key').hidden = true;
    made = made.catch(make);
    made.then(() => form.requestSubmit(), fail);
  });
}

// While people decide, the key is kept for as long as they may take.
function keeping() {
  for (const e of all('[data-keep]')) seal.keep(e.dataset.keep, Date.parse(e.dataset.expires)).catch(() => {});
}

// A ticket on the screen gives way to another one.
function rotating() {
  for (const form of all('[data-rotate]')) setTimeout(() => form.requestSubmit(), 1000 * Number(form.dataset.rotate));
}

// The ticket that a phone has read goes from the address into the form, and nowhere else.
function tickets() {
  const form = one('[data-ticket]');
  if (!form) return;
  form.elements.ticket.value = location.hash.slice(1);
  history.replaceState(null, '', location.pathname + location.search);
}

// A change of the language takes along what was in the address, where no server sees it.
function languages() {
  const field = one('input[data-carried]');
  if (!field) return;
  for (const link of all('.langs a')) link.addEventListener('click', () => { link.hash = field.value; });
}

// A recovery that is over needs its key no more.
function forgetting() {
  for (const e of all('[data-forget]')) {
    const drop = () => {
      try {
        seal.forget(e.dataset.forget);
      } catch {
        // A browser that keeps nothing has nothing to forget.
      }
    };
    if (e.tagName === 'FORM') e.addEventListener('submit', drop);
    else drop();
  }
}

const shownFor = 120_000;
// Groups of four, cut at hyphens too, are what people read aloud.
const group = /[^-]{1,4}-?|-/gu;

// The secret exists as text only between "Show" and hiding, and while it is copied.
class Result {
  constructor(box) {
    this.box = box;
    this.data = box.dataset;
    this.area = one('.shown', box);
    this.spell = one('.spell', box);
    this.status = one('[role=status]', box);
    this.names = this.symbols();
    this.start();
  }

  async start() {
    if (!(await this.openable())) return this.lost();
    this.hide('');
    for (const b of all('button', this.box)) {
      b.hidden = b.dataset.do === 'unclip';
      b.addEventListener('click', () => this[b.dataset.do]().catch(() => this.lost()));
    }
    const leave = () => this.visible && this.hide(this.data.left);
    addEventListener('pagehide', leave);
    document.addEventListener('visibilitychange', () => document.hidden && leave());
  }

  // What the browser cannot read now it may read when a button is pressed.
  async openable() {
    try {
      this.pair = await seal.find(this.data.recovery);
    } catch {
      return true;
    }
    return this.pair && (await this.open().catch(() => '')) !== '';
  }

  async open() {
    this.pair ??= await seal.find(this.data.recovery);
    return seal.open(this.pair, seal.decode(this.data.context), seal.decode(this.data.sealed));
  }

  lost() {
    this.box.hidden = true;
    one('#next').hidden = true; // how to sign in with what nobody can read
    const lost = one('#lost');
    lost.hidden = false;
    lost.focus();
  }

  get visible() {
    return !this.area.classList.contains('off');
  }

  async show() {
    if (this.visible) return this.hide('');
    this.draw(await this.open());
    this.label('show', this.data.hide);
    this.status.textContent = this.data.timer;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hide(this.data.timed), shownFor);
  }

  hide(why) {
    clearTimeout(this.timer);
    this.area.classList.add('off');
    this.area.textContent = this.data.hidden;
    this.spell.replaceChildren();
    this.spell.hidden = true;
    this.label('show', this.data.show);
    one('[data-do=spellOut]', this.box).setAttribute('aria-expanded', 'false');
    this.status.textContent = why;
  }

  label(name, text) {
    one(`[data-do=${name}]`, this.box).textContent = text;
  }

  draw(secret) {
    this.area.classList.remove('off');
    if (/^https:\/\/\S+$/.test(secret)) return this.area.replaceChildren(this.link(secret));
    const groups = secret.match(group).map((part) => {
      const span = document.createElement('span');
      span.textContent = part;
      return span;
    });
    this.area.replaceChildren(...groups);
  }

  link(address) {
    const a = document.createElement('a');
    a.href = address;
    a.rel = 'noreferrer noopener';
    a.textContent = address;
    return a;
  }

  async copy() {
    const secret = await this.open();
    try {
      await navigator.clipboard.writeText(secret);
      this.status.textContent = this.data.copied;
      one('[data-do=unclip]', this.box).hidden = false;
    } catch {
      this.status.textContent = this.data.copyFailed;
    }
  }

  async unclip() {
    await navigator.clipboard.writeText('').catch(() => {});
    one('[data-do=unclip]', this.box).hidden = true;
    this.status.textContent = this.data.unclipped;
    one('[data-do=copy]', this.box).focus();
  }

  async spellOut() {
    const button = one('[data-do=spellOut]', this.box);
    if (!this.spell.hidden) {
      this.spell.hidden = true;
      this.spell.replaceChildren();
      return button.setAttribute('aria-expanded', 'false');
    }
    if (!this.visible) await this.show();
    this.spell.replaceChildren(...[...(await this.open())].map((c) => this.spoken(c)));
    this.spell.hidden = false;
    button.setAttribute('aria-expanded', 'true');
  }

  spoken(c) {
    const li = document.createElement('li');
    const b = document.createElement('b');
    b.textContent = c;
    b.setAttribute('aria-hidden', 'true');
    li.append(b, ' ', this.phrase(c));
    return li;
  }

  phrase(c) {
    if (this.names.has(c)) return this.names.get(c);
    const kind = /\p{Lu}/u.test(c) ? 'upper' : /\p{Ll}/u.test(c) ? 'lower' : /\p{Nd}/u.test(c) ? 'digit' : 'symbol';
    return this.data[kind].replace('{c}', c);
  }

  symbols() {
    const words = this.data.names.split(' ');
    return new Map(words.flatMap((w, i) => (i % 2 ? [[words[i - 1], w.replaceAll('_', ' ')]] : [])));
  }
}

// The summary of errors, or what went wrong otherwise, takes the focus.
function summary() {
  one('[role=alert][tabindex]:not([hidden])')?.focus();
}

// A sheet of codes is printed, or saved by the browser alone: nothing is asked of the site.
function sheets() {
  for (const button of all('[data-print]')) {
    button.hidden = false;
    button.addEventListener('click', () => print());
  }
  for (const link of all('[data-download]')) {
    const text = all('.codes code').map((c) => c.textContent).join('\r\n') + '\r\n';
    link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
    link.download = link.dataset.download;
    link.hidden = false;
  }
}

localTimes();
sheets();
recipients();
keeping();
rotating();
tickets();
languages();
forgetting();
busyForms();
countdowns();
waiting();
for (const box of all('[data-sealed]')) new Result(box);
summary();
seal.sweep(Date.now()).catch(() => {});
document.documentElement.dataset.ready = 'yes';
