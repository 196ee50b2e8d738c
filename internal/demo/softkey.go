package demo

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"sync"

	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// maxKeys bounds the keys of one demo.
const maxKeys = 64

// A keyring holds passkeys for computers that have none: a script that the demo's edge
// serves in place of the product's own asks it. Everything else about the pages, and all
// that the hub checks, is the product's. It ends with the demo.
type keyring struct {
	origin string // of the recovery site, the only page that may use it

	mu   sync.Mutex
	keys []softKey
}

type softKey struct {
	name string // what the page called its owner
	key  *evidencetest.Authenticator
}

// A credentialRequest is what a page asks of WebAuthn, as far as it matters here.
type credentialRequest struct {
	Challenge string `json:"challenge"`
	User      struct {
		ID          string `json:"id"`
		Name        string `json:"name"`
		DisplayName string `json:"displayName"`
	} `json:"user"`
	Allow []choice `json:"allowCredentials"`
	Use   string   `json:"use"` // id of the key that the person chose; "" asks which there are
}

func (k *keyring) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /demo/passkey.js", k.script)
	mux.HandleFunc("POST /demo/make", k.answer(k.make))
	mux.HandleFunc("POST /demo/use", k.answer(k.use))
}

// answer serves the recovery site's own pages.
func (k *keyring) answer(do func(q credentialRequest, challenge [32]byte) (any, bool)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q credentialRequest
		if r.Header.Get("Origin") != k.origin {
			http.Error(w, "not for other sites", http.StatusForbidden)
			return
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAnswer)).Decode(&q); err != nil {
			http.Error(w, "not a request", http.StatusBadRequest)
			return
		}
		raw, err := base64.RawURLEncoding.DecodeString(q.Challenge)
		if err != nil || len(raw) != 32 {
			http.Error(w, "no challenge", http.StatusBadRequest)
			return
		}
		a, ok := do(q, [32]byte(raw))
		if !ok {
			http.Error(w, "no such key", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a)
	}
}

func (k *keyring) make(q credentialRequest, challenge [32]byte) (any, bool) {
	user, err := base64.RawURLEncoding.DecodeString(q.User.ID)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil || len(user) == 0 || len(k.keys) >= maxKeys {
		return nil, false
	}
	key := softKey{q.User.DisplayName, evidencetest.NewAuthenticator(k.origin)}
	if key.name == "" {
		key.name = q.User.Name
	}
	key.key.UserHandle = user
	k.keys = append(k.keys, key)
	return json.RawMessage(key.key.Register(challenge)), true
}

// A choice is one key, of those that a page allows or of those that fit.
type choice struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// use signs with the key that was chosen, or says which there are.
func (k *keyring) use(q credentialRequest, challenge [32]byte) (any, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	choices := []choice{}
	for _, s := range k.keys {
		id := base64.RawURLEncoding.EncodeToString(s.key.ID)
		if len(q.Allow) > 0 && !slices.ContainsFunc(q.Allow, func(a choice) bool { return a.ID == id }) {
			continue
		}
		if q.Use == id {
			return json.RawMessage(s.key.Assert(challenge)), true
		}
		choices = append(choices, choice{id, s.name})
	}
	return choices, q.Use == "" && len(choices) > 0
}

// keyScript stands in place of passkey.js. Where the computer has passkeys of its own,
// the product's script does its work.
const keyScript = `const real = await globalThis.PublicKeyCredential?.isUserVerifyingPlatformAuthenticatorAvailable?.().catch(() => false);
const ask = async (what, q) => {
  const answer = await fetch('/demo/' + what, { method: 'POST', body: JSON.stringify(q) });
  if (!answer.ok) throw new DOMException('no key', 'NotAllowedError');
  return answer.json();
};
const pick = (keys) => keys.length < 2 ? keys[0].id : new Promise((done, stop) => {
  const dialog = document.createElement('dialog');
  dialog.append(Object.assign(document.createElement('p'), { textContent: 'Which key of the demo is used?' }));
  for (const { id, name } of keys) {
    const button = Object.assign(document.createElement('button'), { textContent: name, type: 'button' });
    button.addEventListener('click', () => { dialog.remove(); done(id); });
    dialog.append(button, ' ');
  }
  dialog.addEventListener('cancel', () => { dialog.remove(); stop(new DOMException('stopped', 'AbortError')); });
  document.body.append(dialog);
  dialog.showModal();
});
if (real) {
  await import('./passkey.js?real');
} else {
  const { ceremony } = await import('./ask.js');
  ceremony(async (q) => q.pubKeyCredParams ? ask('make', q) : ask('use', { ...q, use: await pick(await ask('use', q)) }));
}
`

func (k *keyring) script(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(keyScript)) // a browser that left does not matter
}
