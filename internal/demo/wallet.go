package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/directory/demo"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// walletHost is a wallet that is a page: it holds documents of everybody in the company.
const walletHost = "wallet.localhost"

// authorityName is the authority of the demo's documents, and the name of its import.
const authorityName = "Demo documents"

// maxOpen bounds the requests that wait for a decision of the person.
const maxOpen = 64

// A pocket is the wallet of the demo. Its documents are made anew with each start, by an
// authority that the demo's environment trusts and nobody else.
type pocket struct {
	authority *evidencetest.Authority
	site      string // host:port of the recovery site, the only one it answers
	client    *http.Client
	listener  net.Listener
	holders   []holder
	keys      keyring

	mu   sync.Mutex
	open map[string]evidencetest.Request
}

// A holder is somebody with documents.
type holder struct {
	Name   string
	wallet *evidencetest.Wallet
}

func newPocket(port int) (*pocket, error) {
	now := time.Now()
	a, err := evidencetest.NewAuthority("DE", authorityName, now)
	if err != nil {
		return nil, err
	}
	p := &pocket{authority: a, site: fmt.Sprintf("%s:%d", siteHost, port), keys: keyring{origin: fmt.Sprintf("http://%s:%d", siteHost, port)}, open: map[string]evidencetest.Request{}}
	people := append(demo.Accounts(), demo.Account{Name: "Erika Mustermann", BirthDate: "1964-08-12"}) // who does not work there
	for i, person := range people {
		given, family, _ := strings.Cut(person.Name, " ")
		if person.BirthDate == "" {
			person.BirthDate = "1980-01-01" // a document has one, also where the company has none
		}
		w, err := a.NewWallet(evidencetest.Person{
			Given: given, Family: family, BirthDate: person.BirthDate, Document: fmt.Sprintf("D%07d", 1234567+i), Expires: now.AddDate(5, 0, 0).Format(time.DateOnly),
		}, now)
		if err != nil {
			return nil, err
		}
		p.holders = append(p.holders, holder{person.Name, w})
	}
	here := fmt.Sprintf("127.0.0.1:%d", port)
	p.client = &http.Client{Timeout: readTimeout, Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, here)
	}}, CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("a wallet follows no redirect") }}
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	return p, err
}

func (p *pocket) addr() string { return p.listener.Addr().String() }

func (p *pocket) serve(ctx context.Context) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { p.show(w, walletPage{}) })
	mux.HandleFunc("GET /open", p.ask)
	mux.HandleFunc("POST /share", p.share)
	p.keys.routes(mux)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: readTimeout}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	_ = srv.Serve(p.listener)
}

// trust lets the demo's environment believe this start's documents and no former ones.
func (r *run) trust(ctx context.Context) error {
	path := "/api/envs/" + r.desc.Env + "/trust"
	var old []struct{ ID, Name string }
	if err := r.call(ctx, http.MethodGet, path, nil, &old); err != nil {
		return err
	}
	for _, o := range old {
		if o.Name == authorityName {
			if err := r.call(ctx, http.MethodDelete, path+"/"+o.ID, nil, nil); err != nil {
				return err
			}
		}
	}
	return r.call(ctx, http.MethodPost, path, map[string]string{"name": authorityName, "pem": string(r.pocket.authority.PEM())}, nil)
}

// walletPage is what the wallet shows.
type walletPage struct {
	Asks    string // who asks
	ID      string // of the request
	Holders []holder
	Problem string
}

// ask fetches the request that a recovery page's link names, and shows who asks.
func (p *pocket) ask(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	signed, err := p.post(r.Context(), q.Get("request_uri"), url.Values{"wallet_nonce": {rand.Text()}})
	if err != nil {
		p.show(w, walletPage{Problem: err.Error()})
		return
	}
	request, err := evidencetest.ParseRequest(signed)
	if err != nil || request.ClientID != q.Get("client_id") {
		p.show(w, walletPage{Problem: "whoever asks is not who they say they are"})
		return
	}
	id := rand.Text()
	p.mu.Lock()
	if len(p.open) >= maxOpen {
		clear(p.open)
	}
	p.open[id] = request
	p.mu.Unlock()
	p.show(w, walletPage{Asks: strings.TrimPrefix(request.ClientID, "x509_san_dns:"), ID: id, Holders: p.holders})
}

// share answers with one document of one person, and sends the person back.
func (p *pocket) share(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxAnswer)
	p.mu.Lock()
	request, ok := p.open[r.FormValue("id")]
	delete(p.open, r.FormValue("id"))
	p.mu.Unlock()
	for _, h := range p.holders {
		if !ok || h.Name != r.FormValue("holder") {
			continue
		}
		next, err := p.answer(r.Context(), request, h, r.FormValue("document"))
		if err != nil {
			p.show(w, walletPage{Problem: err.Error()})
			return
		}
		w.Header().Set("Referrer-Policy", "no-referrer")
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	p.show(w, walletPage{Problem: "nobody asks for this any more"})
}

func (p *pocket) answer(ctx context.Context, request evidencetest.Request, h holder, document string) (string, error) {
	jwe, err := h.wallet.AnswerPost(request, document, time.Now())
	if err != nil {
		return "", err
	}
	body, err := p.post(ctx, request.ResponseURI, url.Values{"response": {jwe}})
	if err != nil {
		return "", err
	}
	var next struct {
		To string `json:"redirect_uri"`
	}
	err = json.Unmarshal([]byte(body), &next)
	return next.To, err
}

// post calls the recovery site of the demo, and nothing else.
func (p *pocket) post(ctx context.Context, address string, form url.Values) (string, error) {
	if u, err := url.Parse(address); err != nil || u.Host != p.site {
		return "", errors.New("this wallet answers the recovery site of the demo only")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := p.client.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("the site says %s: it was asked before, or too late", res.Status)
	}
	return string(body), err
}

var walletTemplate = template.Must(template.New("wallet").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Wallet</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:2rem auto;padding:0 1rem;color:#1c2321;background:#f7f8f6}
fieldset,select{border:1px solid #ccd3cf;border-radius:8px;background:#fff;color:inherit}fieldset{padding:.75rem 1rem;margin:1rem 0}select,button{font:inherit;padding:.6rem 1rem;width:100%;box-sizing:border-box}
label{display:block;padding:.3rem 0}button{border:0;border-radius:8px;background:#0a5c4a;color:#fff;cursor:pointer}
@media(prefers-color-scheme:dark){body{background:#161b19;color:#e6ebe8}fieldset,select{background:#1f2623;border-color:#3a4540}}</style></head>
<body><main><h1>Wallet of the demo</h1>
{{if .Problem}}<p role="alert">This did not work: {{.Problem}}.</p><p>Go back to the recovery page, load it again, and try once more.</p>
{{else if .ID}}<p><b>{{.Asks}}</b> would like to see name, date of birth, and the number, country and end of a document.</p>
<form method="post" action="/share"><input type="hidden" name="id" value="{{.ID}}">
<label for="holder">Whose wallet is this?</label><select id="holder" name="holder">{{range .Holders}}<option>{{.Name}}</option>{{end}}</select>
<fieldset><legend>Document</legend><label><input type="radio" name="document" value="mdl" checked> Driving licence (ISO 18013-5)</label>
<label><input type="radio" name="document" value="pid"> Person identification (SD-JWT)</label></fieldset>
<button>Show it</button></form>
{{else}}<p>It holds a driving licence and a person identification of everybody in the company, and of somebody who does not work there. A recovery page opens it when you choose <i>A digital identity document</i>.</p>{{end}}
</main></body></html>`))

func (p *pocket) show(w http.ResponseWriter, page walletPage) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_ = walletTemplate.Execute(w, page)
}
