package site

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// A held is a person's wallet beside a request that the hub opened.
type held struct {
	*rig
	wallet   *evidencetest.Wallet
	verifier *wallet.Verifier
	subject  verify.Subject
	text     string   // of the challenge
	request  *url.URL // request_uri
}

func (g *rig) asksWallet() *held {
	g.t.Helper()
	now := time.Now()
	a, err := evidencetest.NewAuthority("XX", "Demo authority", now)
	if err != nil {
		g.t.Fatal(err)
	}
	w, err := a.NewWallet(evidencetest.Person{Family: "Müller", Given: "Jürgen", BirthDate: "1980-02-29", Document: "D1", Expires: "2099-01-01"}, now)
	if err != nil {
		g.t.Fatal(err)
	}
	err = g.store.Tx(g.t.Context(), func(tx *store.Tx) error {
		return tx.AddTrustSource(g.t.Context(), &store.TrustSource{Env: g.env.ID, Kind: store.TrustPEM, Name: "demo", Body: a.PEM()})
	})
	if err != nil {
		g.t.Fatal(err)
	}
	h := &held{rig: g, wallet: w, verifier: wallet.New(wallet.Config{Store: g.store, Now: time.Now})}
	h.subject = verify.Subject{Env: g.env.ID, Verification: "v", Context: protocol.Context{9}, Origin: g.url, RPID: "localhost", Until: now.Add(10 * time.Minute)}
	c, err := h.verifier.Open(g.t.Context(), h.subject)
	if err != nil {
		g.t.Fatal(err)
	}
	h.text = c.Text
	var ask struct {
		Link string `json:"link"`
	}
	if err := json.Unmarshal(c.Ask, &ask); err != nil {
		g.t.Fatal(err)
	}
	link, err := url.Parse(ask.Link)
	if err != nil {
		g.t.Fatal(err)
	}
	if h.request, err = url.Parse(link.Query().Get("request_uri")); err != nil {
		g.t.Fatal(err)
	}
	return h
}

// call is what a wallet does: no cookie, no Origin, redirects refused.
func (h *held) call(method, address string, form url.Values) (int, http.Header, string) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if res.StatusCode >= 300 && res.StatusCode < 400 || len(res.Cookies()) > 0 {
		h.t.Errorf("%s %s: status %d, cookies %v: a wallet is neither redirected nor given cookies", method, address, res.StatusCode, res.Cookies())
	}
	return res.StatusCode, res.Header, string(b)
}

func TestAWalletGetsItsRequestAndAnswersIt(t *testing.T) {
	for _, method := range []string{"POST", "GET"} {
		h := newRig(t).asksWallet()
		form := url.Values(nil)
		if method == "POST" {
			form = url.Values{"wallet_nonce": {"n-1"}, "wallet_metadata": {"{}"}}
		}
		status, header, signed := h.call(method, h.request.String(), form)
		if status != http.StatusOK || header.Get("Content-Type") != "application/oauth-authz-req+jwt" || header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v", method, status, header)
		}
		r, err := evidencetest.ParseRequest(signed)
		if err != nil || r.WalletNonce != form.Get("wallet_nonce") {
			t.Fatalf("%s: %+v %v", method, r, err)
		}
		if status, _, _ := h.call(method, h.request.String(), form); status != http.StatusNotFound {
			t.Errorf("%s: fetched twice: %d", method, status)
		}
		jwe, err := h.wallet.AnswerPost(r, "mdl", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		status, _, body := h.call("POST", r.ResponseURI, url.Values{"response": {jwe}})
		var next struct {
			To string `json:"redirect_uri"`
		}
		if err := json.Unmarshal([]byte(body), &next); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s %v", status, body, err)
		}
		code, ok := strings.CutPrefix(next.To, h.url+"/wallet/return#response_code=")
		if !ok {
			t.Fatalf("sent back to %s", next.To)
		}
		v, err := h.verifier.Check(t.Context(), h.subject, h.text, `{"response_code":"`+code+`"}`)
		if err != nil || !v.Right {
			t.Errorf("%+v %v", v, err)
		}
	}
}

func TestWhatWalletsMayNotSend(t *testing.T) {
	h := newRig(t).asksWallet()
	answer := strings.Replace(h.request.String(), "/request/", "/answer/", 1)
	big := url.Values{"response": {strings.Repeat("A", 300<<10)}}
	for _, c := range []struct {
		method, address string
		form            url.Values
		want            int
	}{
		{"HEAD", h.request.String(), nil, http.StatusMethodNotAllowed},
		{"PUT", h.request.String(), nil, http.StatusMethodNotAllowed},
		{"GET", answer, nil, http.StatusMethodNotAllowed},
		{"POST", answer, url.Values{"response": {"x"}}, http.StatusNotFound},
		{"POST", h.url + "/wallet/answer/" + h.text, url.Values{"response": {"x"}}, http.StatusBadRequest},
		{"POST", h.url + "/wallet/answer/" + h.text, nil, http.StatusBadRequest},
		{"POST", h.url + "/wallet/answer/" + h.text, big, http.StatusRequestEntityTooLarge},
		{"POST", h.request.String(), url.Values{"wallet_nonce": {strings.Repeat("n", 600)}}, http.StatusBadRequest},
		{"POST", h.request.String(), big, http.StatusBadRequest},
		{"GET", h.url + "/wallet/request/unknown", nil, http.StatusNotFound},
	} {
		if status, _, body := h.call(c.method, c.address, c.form); status != c.want {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.address, status, body, c.want)
		}
	}
	if status, _, _ := h.call("GET", h.request.String(), nil); status != http.StatusOK {
		t.Errorf("the request was spent by what was refused: %d", status)
	}
}

func TestThePageAfterAWalletTakesNothingFromTheAddress(t *testing.T) {
	p := newRig(t).person()
	p.get("/wallet/return?response_code=canary")
	if p.status != http.StatusOK || strings.Contains(p.body, "canary") || !strings.Contains(p.body, "walletreturn.js") {
		t.Errorf("%d %s", p.status, p.body)
	}
}
