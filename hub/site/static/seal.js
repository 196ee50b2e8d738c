// The browser's end of protocol/seal: a P-256 key that never leaves this browser, and
// the opening of what an agent sealed to it. HPKE base mode of RFC 9180, DHKEM(P-256,
// HKDF-SHA256), HKDF-SHA256, AES-256-GCM, one message, by WebCrypto alone.
const subtle = globalThis.crypto?.subtle;
const text = new TextEncoder();
const label = text.encode('postern/seal/v1');
const version = text.encode('HPKE-v1');
const kem = Uint8Array.of(0x00, 0x10);
const suite = Uint8Array.of(0x00, 0x10, 0x00, 0x01, 0x00, 0x02);
const kemSuite = join(text.encode('KEM'), kem);
const hpkeSuite = join(text.encode('HPKE'), suite);
const empty = new Uint8Array(0);
const pointLength = 65;
const tagLength = 16;
const curve = { name: 'ECDH', namedCurve: 'P-256' };

function join(...parts) {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

/** decode reads unpadded base64url. */
export function decode(s) {
  return Uint8Array.from(atob(s.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
}

/** encode writes unpadded base64url. */
export function encode(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

async function hmac(key, data) {
  // WebCrypto refuses an empty key; zeroes up to the hash's length are the same key.
  const k = await subtle.importKey('raw', key.length ? key : new Uint8Array(32), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return new Uint8Array(await subtle.sign('HMAC', k, data));
}

const extract = (id, salt, name, ikm) => hmac(salt, join(version, id, text.encode(name), ikm));

// No length asked for is more than one block of SHA-256, so one round is enough.
async function expand(id, prk, name, info, length) {
  const block = join(Uint8Array.of(0, length), version, id, text.encode(name), info, Uint8Array.of(1));
  return (await hmac(prk, block)).slice(0, length);
}

/** open returns the secret as text. It throws when key, context and bytes do not belong together. */
export async function open(pair, context, sealed) {
  if (sealed.length <= pointLength + tagLength || context.length !== 32) throw new Error('malformed');
  const enc = sealed.slice(0, pointLength);
  const sender = await subtle.importKey('raw', enc, curve, false, []);
  const dh = new Uint8Array(await subtle.deriveBits({ name: 'ECDH', public: sender }, pair.privateKey, 256));
  const own = new Uint8Array(await subtle.exportKey('raw', pair.publicKey));
  const eae = await extract(kemSuite, empty, 'eae_prk', dh);
  const shared = await expand(kemSuite, eae, 'shared_secret', join(enc, own), 32);
  const schedule = join(
    Uint8Array.of(0), // base mode
    await extract(hpkeSuite, empty, 'psk_id_hash', empty),
    await extract(hpkeSuite, empty, 'info_hash', join(label, context)),
  );
  const secret = await extract(hpkeSuite, shared, 'secret', empty);
  const key = await subtle.importKey('raw', await expand(hpkeSuite, secret, 'key', schedule, 32), 'AES-GCM', false, ['decrypt']);
  const iv = await expand(hpkeSuite, secret, 'base_nonce', schedule, 12);
  const plain = await subtle.decrypt({ name: 'AES-GCM', iv }, key, sealed.slice(pointLength));
  return new TextDecoder('utf-8', { fatal: true }).decode(plain);
}

/** recipient returns the 71 bytes by which others seal to the key. */
export async function recipient(pair) {
  return join(suite, new Uint8Array(await subtle.exportKey('raw', pair.publicKey)));
}

// Keys live in IndexedDB, which can hold a private key as a handle that no script can turn
// into bytes. Each recovery has a database of its own with a random name, and localStorage
// says which: Chromium keeps a database shut for as long as it runs when its page was left
// while the database was being made, and a name that is never asked for again does no harm.
const prefix = 'postern.';
const rows = 'keys';

function database(name) {
  return new Promise((done, fail) => {
    const ask = indexedDB.open(name, 1);
    ask.onupgradeneeded = () => ask.result.createObjectStore(rows);
    ask.onsuccess = () => done(ask.result);
    ask.onerror = ask.onblocked = () => fail(ask.error ?? new Error('blocked'));
  });
}

async function transact(name, mode, work) {
  const db = await database(name);
  try {
    return await new Promise((done, fail) => {
      const t = db.transaction(rows, mode);
      const asked = work(t.objectStore(rows));
      t.oncomplete = () => done(asked.result);
      t.onerror = t.onabort = () => fail(t.error);
    });
  } finally {
    db.close();
  }
}

// Tabs take turns, so that no two of them make a key for one recovery.
const inTurn = (work) => (navigator.locks ? navigator.locks.request(prefix, work) : work());

function record(recovery) {
  try {
    return JSON.parse(localStorage.getItem(prefix + recovery));
  } catch {
    return null;
  }
}

/** find returns the key pair of a recovery, or undefined. */
export async function find(recovery) {
  const { name } = record(recovery) ?? {};
  return name && transact(name, 'readonly', (s) => s.get('pair'));
}

/** keep returns the key pair of a recovery and makes it where there is none yet. */
export function keep(recovery, until) {
  return inTurn(async () => {
    const found = await find(recovery);
    if (found) {
      const known = record(recovery);
      if (until > known.until) localStorage.setItem(prefix + recovery, JSON.stringify({ ...known, until }));
      return found;
    }
    const pair = await subtle.generateKey(curve, false, ['deriveBits']);
    const name = prefix + encode(crypto.getRandomValues(new Uint8Array(16)));
    await transact(name, 'readwrite', (s) => s.add(pair, 'pair'));
    localStorage.setItem(prefix + recovery, JSON.stringify({ name, until }));
    return find(recovery);
  });
}

/** forget deletes the key pair of a recovery. */
export function forget(recovery) {
  const { name } = record(recovery) ?? {};
  localStorage.removeItem(prefix + recovery);
  if (name) indexedDB.deleteDatabase(name);
}

/** sweep deletes the key pairs of recoveries that are over, and those that no tab took. */
export function sweep(now) {
  return inTurn(async () => {
    const own = Object.keys(localStorage).filter((k) => k.startsWith(prefix)).map((k) => k.slice(prefix.length));
    for (const recovery of own) {
      if (!(record(recovery)?.until > now)) forget(recovery);
    }
    if (!navigator.locks) return;
    const used = own.map((recovery) => record(recovery)?.name);
    for (const { name } of (await indexedDB.databases?.()) ?? []) {
      if (name.startsWith(prefix) && !used.includes(name)) indexedDB.deleteDatabase(name);
    }
  });
}
