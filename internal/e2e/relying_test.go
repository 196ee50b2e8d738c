package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// rootsOf are the authorities of files.
func rootsOf(t *testing.T, files ...string) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil || !pool.AppendCertsFromPEM(pem) {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return pool
}

// loopback is an HTTP client for which every name is this machine, whatever the port. It
// follows nothing.
func loopback(roots *x509.CertPool, jar http.CookieJar) *http.Client {
	return &http.Client{Timeout: within, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
			}},
	}
}

// A relying is an environment that relying parties ask who somebody is, behind its own
// TLS, and the wallet of the one who is asked about.
type relying struct {
	*environment
	wallet *evidencetest.Wallet
}

// relied starts an edge whose environment trusts the documents of somebody.
func relied(t *testing.T, name string) *relying {
	t.Helper()
	return reliedAt(t, name, startEdge(t, edgeConfig{TLS: true, Site: "encode gzip zstd"}))
}

func reliedAt(t *testing.T, name string, e *edge) *relying {
	t.Helper()
	v := e.environment(t, name, "ldap")
	return &relying{v, walletOf(t, v.trusting(), "ERIKA", "MUSTERMANN")}
}

// relying registers a relying party and returns its id and secret.
func (v *relying) relying(settings map[string]any) (id, secret string) {
	v.t.Helper()
	return v.relyingBy("", settings)
}

// relyingBy is relying with a key outside of the hub, by its fingerprint.
func (v *relying) relyingBy(external string, settings map[string]any) (id, secret string) {
	v.t.Helper()
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	settings["contract"] = "openid"
	path := "/api/envs/" + v.id + "/oidc-clients"
	if external != "" {
		path += "?" + url.Values{"external": {external}}.Encode()
	}
	v.do(http.MethodPost, path, settings, &made)
	return made.ID, made.Secret
}

// A prover is somebody with a browser that keeps cookies, and a wallet.
type prover struct {
	*visitor
	edge     *edge
	wallet   *evidencetest.Wallet
	fragment string // of the address that was loaded last and had one
}

// prover returns somebody who knows further authorities.
func (v *relying) prover(authorities ...string) *prover {
	v.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		v.t.Fatal(err)
	}
	p := newVisitor(v.t, v.site, v.edge.port)
	p.client = loopback(rootsOf(v.t, append(authorities, v.edge.caFile())...), jar)
	p.extra = http.Header{"Accept": {"text/html,application/xhtml+xml"}} // Apache sends programs no further
	return &prover{visitor: p, edge: v.edge, wallet: v.wallet}
}

// opens loads an address of any host and follows it until something is shown. What leads
// to away is not loaded, and returned.
func (p *prover) opens(address, away string) (left string) {
	p.t.Helper()
	for range 12 {
		if away != "" && strings.HasPrefix(address, away) {
			return address
		}
		u, err := url.Parse(address)
		if err != nil {
			p.t.Fatal(err)
		}
		p.site = u.Scheme + "://" + u.Host
		p.do(http.MethodGet, u.RequestURI(), nil)
		to, err := u.Parse(p.header.Get("Location"))
		if p.status < 300 || p.status > 399 || err != nil {
			if p.status == 0 {
				p.t.Fatalf("%s: %s", address, p.page)
			}
			return ""
		}
		if address = to.String(); to.Fragment != "" {
			p.fragment = to.Fragment
		}
	}
	p.t.Fatalf("%s leads on and on", address)
	return ""
}

// sends posts a form of the page that is shown, and follows it.
func (p *prover) sends(path string, fields ...string) {
	p.t.Helper()
	p.do(http.MethodPost, path, p.form(fields...))
	if to := p.header.Get("Location"); to != "" {
		p.opens(p.site+to, "")
	}
	p.want(http.StatusOK, path)
}

// An answer is what a relying party is handed: the address with it, or a form.
type answer struct {
	url  string
	form url.Values // response_mode=form_post
}

// proves goes from the address of an authorization to the answer for a callback, as
// somebody who agrees and shows a document.
func (p *prover) proves(authorize, callback string) answer {
	p.t.Helper()
	if left := p.opens(authorize, callback); left != "" {
		return answer{url: left}
	}
	return p.goesOn(callback)
}

// goesOn does the same from the page that the provider has shown.
func (p *prover) goesOn(callback string) answer {
	p.t.Helper()
	if here := p.attribute(`<a[^>]* href="([^"]*/sign-in#[^"]*)"`); here != "" {
		p.opens(here, "")
		_, p.fragment, _ = strings.Cut(here, "#")
	}
	p.want(http.StatusOK, "the way to the proof")
	p.sends("/sign-in", "token", p.fragment)
	use := regexp.MustCompile(`^/request/[^/]+`).FindString(p.path)
	if use == "" {
		p.t.Fatalf("no request is open at %s: %s", p.path, p.text())
	}
	p.sends(use + "/agree")
	var a ask
	if err := json.Unmarshal([]byte(p.attribute(`(?s)id="request">(.*?)</script>`)), &a); err != nil {
		p.t.Fatalf("%v: %s", err, p.text())
	}
	text, err := json.Marshal(map[string]string{"response_code": p.byApp(p.edge, p.wallet, a)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.sends(use+"/answer", "answer", string(text))
	p.sends(use + "/return")
	return p.returns(p.attribute(`<a[^>]* href="([^"]*)"[^>]* data-back`), callback)
}

var fieldForm = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// returns takes the way back to the relying party.
func (p *prover) returns(back, callback string) answer {
	p.t.Helper()
	if left := p.opens(back, callback); left != "" {
		return answer{url: left}
	}
	if to := p.attribute(`<form method="post" action="([^"]*)"`); to != callback {
		p.t.Fatalf("%s leads to %q: %d %s", back, to, p.status, p.text())
	}
	form := url.Values{}
	for _, f := range fieldForm.FindAllStringSubmatch(p.page, -1) {
		form.Set(f[1], html.UnescapeString(f[2]))
	}
	return answer{callback, form}
}

// hands brings an answer to the relying party, as a browser would, and follows it.
func (p *prover) hands(a answer) {
	p.t.Helper()
	if a.form == nil {
		p.opens(a.url, "")
		return
	}
	u, err := url.Parse(a.url)
	if err != nil {
		p.t.Fatal(err)
	}
	p.site = u.Scheme + "://" + u.Host
	p.do(http.MethodPost, u.Path, a.form)
	if to, err := u.Parse(p.header.Get("Location")); err == nil && p.status > 299 && p.status < 400 {
		p.opens(to.String(), "")
	}
}

// values are the parameters of an answer, wherever they stand.
func (a answer) values(t *testing.T) url.Values {
	t.Helper()
	if a.form != nil {
		return a.form
	}
	u, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	if u.Fragment == "" {
		return u.Query()
	}
	q, err := url.ParseQuery(u.Fragment)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// mode says in which way an answer came.
func (a answer) mode() string {
	switch {
	case a.form != nil:
		return "form_post"
	case strings.Contains(a.url, "#"):
		return "fragment"
	}
	return "query"
}

// String implements fmt.Stringer: what stands in an answer is nobody's business.
func (a answer) String() string { return fmt.Sprintf("an answer by %s", a.mode()) }
