package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// askDocument goes as far as the page that asks for a document.
func (j *journey) askDocument(email, action string) {
	j.t.Helper()
	j.b.Open(j.site + "/")
	j.b.Type("#email", email)
	j.b.Click("main button")
	j.b.WaitText("What do you need?")
	j.b.Click("label:has([value=" + action + "])")
	j.b.Click("main form button")
	j.b.Wait(`document.querySelector('#method') && document.documentElement.dataset.ready && document.querySelector('[name=recipient]').value`)
	j.b.Click("label:has([value=digital_credential])")
	j.b.Click("main form button")
	j.b.Wait(`document.querySelector('[data-ceremony]') && !document.querySelector('[data-ceremony]').hidden`)
}

// An ask is what the page was given for a wallet.
type ask struct {
	Digital []struct {
		Protocol string          `json:"protocol"`
		Data     json.RawMessage `json:"data"`
	} `json:"digital"`
	Link string `json:"link"`
}

func (j *journey) ask() (a ask) {
	j.t.Helper()
	text := j.b.Eval(`document.querySelector('#request').textContent`)
	if err := json.Unmarshal([]byte(text), &a); err != nil || len(a.Digital) != 2 {
		j.t.Fatalf("the page was given %q: %v", text, err)
	}
	return a
}

// shows lets the browser's wallet answer what this page asks, presses the button, and
// waits for the next page.
func (j *journey) shows(w *evidencetest.Wallet, i int, query, from string) {
	j.t.Helper()
	d := j.ask().Digital[i]
	data, err := w.AnswerBrowser(d.Protocol, d.Data, from, query, time.Now())
	if err != nil {
		j.t.Fatal(err)
	}
	j.b.WalletAnswers(d.Protocol, data)
	j.b.Eval(`window.asking = 1`)
	j.b.Click("[data-ceremony]")
	j.b.Wait(`!window.asking && document.documentElement.dataset.ready`) // whatever comes of it is another page
}

// walletOf makes documents for somebody.
func walletOf(t *testing.T, a *evidencetest.Authority, given, family string) *evidencetest.Wallet {
	t.Helper()
	w, err := a.NewWallet(evidencetest.Person{Family: family, Given: given, BirthDate: "1980-02-29", Document: "D-1", Expires: "2099-01-01"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// By mouse alone: the recovery page leads to the demo's wallet, and back.
func TestTheDemosWalletProvesWhoOneIsAndNobodyElse(t *testing.T) {
	t.Parallel()
	c := startDemo(t)
	b := testenv.Chromium(t)
	j := newJourney(t, b, c.Site)
	share := func(name, document string) {
		t.Helper()
		j.askDocument("anna.berg@lindenhof.example", "password")
		b.Click("[data-wallet] a")
		b.WaitText("recovery.localhost would like to see")
		b.Eval(`document.querySelector('#holder').value = '` + name + `'`)
		b.Click("label:has([value=" + document + "])")
		b.Click("button")
	}
	share("Erika Mustermann", "mdl")
	b.WaitText("This did not prove that it is you")
	for _, document := range []string{"mdl", "pid"} {
		share("Anna Berg", document)
		j.acknowledge(j.reset())
	}
}

// A walletApp stands for an app on the person's phone: the link of the page opens it, it
// asks the hub for the signed request, answers, and sends the person back.
type walletApp struct {
	*testing.T
	url    string
	edge   *edge // set before the app is opened
	wallet *evidencetest.Wallet
}

func newWalletApp(t *testing.T) *walletApp {
	t.Helper()
	a := &walletApp{T: t}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	a.url = srv.URL + "/open"
	return a
}

// ServeHTTP implements http.Handler. Its errors are shown by the page that never comes.
func (a *walletApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/open" {
		http.NotFound(w, r)
		return
	}
	next, err := a.answer(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (a *walletApp) answer(link url.Values) (string, error) {
	signed, err := a.post(link.Get("request_uri"), url.Values{"wallet_nonce": {"n"}})
	if err != nil {
		return "", err
	}
	r, err := evidencetest.ParseRequest(signed)
	if err != nil {
		return "", err
	}
	jwe, err := a.wallet.AnswerPost(r, "mdl", time.Now())
	if err != nil {
		return "", err
	}
	body, err := a.post(r.ResponseURI, url.Values{"response": {jwe}})
	if err != nil {
		return "", err
	}
	var next struct {
		To string `json:"redirect_uri"`
	}
	err = json.Unmarshal([]byte(body), &next)
	return next.To, err
}

func (a *walletApp) post(address string, form url.Values) (string, error) {
	res, err := a.edge.client().PostForm(address, form)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", address, res.StatusCode, body)
	}
	return string(body), err
}
