package e2e

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

// A visitor is a person with a plain HTTP client in place of a browser: forms, cookies,
// and a key for the result as the page's script makes it.
type visitor struct {
	t       *testing.T
	client  *http.Client
	site    string
	address string // that the client seems to come from
	key     *ecdh.PrivateKey

	extra http.Header // sent besides, over what a browser sends; a Host replaces the site's

	status int
	header http.Header
	path   string // where the last answer came from, after redirects
	page   string
	token  string // token of the last form, which a page before this one may have shown
}

// newVisitor returns a visitor of a site that is served on a port of this machine.
func newVisitor(t *testing.T, site string, port int) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var b [2]byte
	_, _ = rand.Read(b[:])
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
	}}
	return &visitor{t: t, client: &http.Client{Jar: jar, Transport: transport, Timeout: within}, site: site, key: key,
		address: fmt.Sprintf("198.18.%d.%d", b[0], b[1])}
}

// do sends one request and keeps the page.
func (v *visitor) do(method, path string, form url.Values) int {
	v.t.Helper()
	req, err := http.NewRequest(method, v.site+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", v.address)
	for name, values := range v.extra {
		if name == "Host" {
			req.Host = values[0]
			continue
		}
		req.Header[name] = values
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.status, v.page = 0, err.Error()
		return 0
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.status, v.page = 0, err.Error()
		return 0
	}
	v.status, v.header, v.page, v.path = resp.StatusCode, resp.Header, string(b), resp.Request.URL.Path
	if token := v.attribute(`name="form" value="([^"]*)"`); token != "" {
		v.token = token
	}
	return v.status
}

// alone sends one request and follows nothing.
func (v *visitor) alone(method, path string, form url.Values) int {
	v.t.Helper()
	one := *v.client
	one.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	back := v.client
	v.client = &one
	defer func() { v.client = back }()
	return v.do(method, path, form)
}

// get loads an address, for instance the recovery's own: "".
func (v *visitor) get(path string) int {
	v.t.Helper()
	if path == "" {
		path = v.recovery()
	}
	return v.do("GET", path, nil)
}

// recovery is the address of the recovery that the visitor is in.
func (v *visitor) recovery() string {
	return regexp.MustCompile(`^/r/[^/]+`).FindString(v.path)
}

// post sends a form of the recovery.
func (v *visitor) post(what string, fields ...string) int {
	v.t.Helper()
	return v.do("POST", v.recovery()+"/"+what, v.form(fields...))
}

// form is a form with the token of the page.
func (v *visitor) form(fields ...string) url.Values {
	form := url.Values{"form": {v.token}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return form
}

// attribute returns what the pattern finds on the page.
func (v *visitor) attribute(pattern string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(v.page)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// want fails the test unless the last answer had this status.
func (v *visitor) want(status int, what string) {
	v.t.Helper()
	if v.status != status {
		v.t.Fatalf("%s: %d, want %d: %s", what, v.status, status, v.text())
	}
}

// text is the page without markup.
func (v *visitor) text() string {
	plain := regexp.MustCompile(`(?s)<head>.*?</head>|<[^>]*>`).ReplaceAllString(v.page, " ")
	return strings.Join(strings.Fields(html.UnescapeString(plain)), " ")
}

// begin types the address and chooses what is needed.
func (v *visitor) begin(email, action string) {
	v.t.Helper()
	v.path = ""
	v.get("/")
	v.want(http.StatusOK, "the first page")
	v.post("start", "email", email)
	v.want(http.StatusOK, "the address")
	poll(v.t, "an agent is known to the node", func() bool { // the page invites to load it again
		return v.post("choose", "op", action) != http.StatusServiceUnavailable
	})
	v.want(http.StatusOK, "the choice")
	if strings.Contains(v.page, `value="mail_code"`) { // there are several ways to prove it
		v.post("method", "method", "mail_code")
		v.want(http.StatusOK, "a code by mail")
	}
}

// prove types a code and must be asked to press the button.
func (v *visitor) prove(code string) {
	v.t.Helper()
	v.post("code", "code", code)
	v.want(http.StatusOK, "the code")
	if !v.ready() {
		v.t.Fatalf("no button after the code: %s", v.text())
	}
}

func (v *visitor) ready() bool { return strings.Contains(v.page, `id="perform"`) }

func (v *visitor) done() bool { return strings.Contains(v.page, `/acknowledge"`) }

// recipient is the visitor's key as the form of the button carries it.
func (v *visitor) recipient() string {
	v.t.Helper()
	recipient, err := seal.Encode(v.key.PublicKey())
	if err != nil {
		v.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(recipient)
}

// press presses the button and returns the status.
func (v *visitor) press() int {
	v.t.Helper()
	return v.post("perform", "recipient", v.recipient())
}

// finish waits until the result is there, and opens it. Nobody presses again.
func (v *visitor) finish() string {
	v.t.Helper()
	poll(v.t, "the result", func() bool {
		if v.done() {
			return true
		}
		v.get("")
		return v.done()
	})
	return v.secret()
}

// secret opens the result of the page with the visitor's key.
func (v *visitor) secret() string {
	v.t.Helper()
	sealed, err := base64.RawURLEncoding.DecodeString(v.attribute(`data-sealed="([^"]*)"`))
	if err != nil || len(sealed) == 0 {
		v.t.Fatalf("no sealed result (%v): %s", err, v.text())
	}
	var c protocol.Context
	if err := c.UnmarshalText([]byte(v.attribute(`data-context="([^"]*)"`))); err != nil {
		v.t.Fatal(err)
	}
	secret, err := seal.Open(v.key, c, sealed)
	if err != nil {
		v.t.Fatal(err)
	}
	return secret.Reveal()
}

// reset walks the whole way.
func (v *visitor) reset(email string, code func() string) string {
	v.t.Helper()
	v.begin(email, "password")
	v.prove(code())
	v.press()
	return v.finish()
}
