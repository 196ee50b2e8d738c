package site

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/wallet"
)

// Wallets takes what wallets send by themselves, without a browser and its cookies.
type Wallets interface {
	// Request returns the signed request of an id, once.
	Request(ctx context.Context, env, id, nonce string) (string, error)
	// Take takes the encrypted answer and returns where the person goes next.
	Take(ctx context.Context, env, id, answer string) (string, error)
}

// Bounds of what wallets send, in bytes. Their metadata is not read, but comes along.
const (
	maxWalletRequest = 32 << 10
	maxWalletAnswer  = wallet.MaxAnswer + 1<<10
)

// walletRoutes are the addresses that wallets call: no cookie, no form of ours, JSON
// in every failure, and never a redirect.
func (s *Site) walletRoutes(mux *http.ServeMux) {
	mux.HandleFunc("/wallet/request/{id}", s.walletRequest)
	mux.HandleFunc("/wallet/answer/{id}", s.walletAnswer)
}

// walletRequest hands out a signed request. A wallet that knows request_uri_method
// posts its nonce; an older one gets it with GET. HEAD would spend it for nothing.
func (s *Site) walletRequest(w http.ResponseWriter, r *http.Request) {
	v := r.Context().Value(visitKey{}).(*visit)
	nonce := ""
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, maxWalletRequest)
		if err := r.ParseForm(); err != nil {
			walletError(w, http.StatusBadRequest)
			return
		}
		nonce = r.PostForm.Get("wallet_nonce")
	default:
		w.Header().Set("Allow", "GET, POST")
		walletError(w, http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookupTime)
	defer cancel()
	signed, err := s.cfg.Wallets.Request(ctx, v.req.Env, r.PathValue("id"), nonce)
	if err != nil {
		s.walletFailed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/oauth-authz-req+jwt")
	_, _ = w.Write([]byte(signed)) // a wallet that left does not matter
}

// walletAnswer takes an encrypted answer (direct_post.jwt).
func (s *Site) walletAnswer(w http.ResponseWriter, r *http.Request) {
	v := r.Context().Value(visitKey{}).(*visit)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		walletError(w, http.StatusMethodNotAllowed)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxWalletAnswer)
	if err := r.ParseForm(); err != nil {
		walletError(w, http.StatusRequestEntityTooLarge)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookupTime)
	defer cancel()
	next, err := s.cfg.Wallets.Take(ctx, v.req.Env, r.PathValue("id"), r.PostForm.Get("response"))
	if err != nil {
		s.walletFailed(w, r, err)
		return
	}
	walletJSON(w, http.StatusOK, map[string]string{"redirect_uri": next})
}

// walletFailed tells a wallet as little as it needs: whether to give up.
func (s *Site) walletFailed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, wallet.ErrAnswer):
		walletError(w, http.StatusBadRequest)
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict):
		walletError(w, http.StatusNotFound)
	default:
		s.cfg.Log.WarnContext(r.Context(), "a wallet was not served", "error", err)
		walletError(w, http.StatusServiceUnavailable)
	}
}

func walletError(w http.ResponseWriter, status int) {
	walletJSON(w, status, map[string]string{"error": "invalid_request"})
}

func walletJSON(w http.ResponseWriter, status int, v map[string]string) {
	b, err := json.Marshal(v)
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// walletReturn is where a wallet sends the person back to. Its script knows in which
// recovery they left, and hands the response code from the fragment to that page.
func (v *visit) walletReturn() {
	s := v.screen(flow.View{})
	s.Title = s.T("wallet.return.title")
	v.show(http.StatusOK, "walletreturn", s)
}

// Wallet reports whether the page asks for a document in a wallet, which is the only
// method that may also leave the browser for an app on the same device.
func (s *screen) Wallet() bool { return s.View.Ask.Method == policy.DigitalCredential }
