package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// A gallery is the organisation's own service that takes photos for badges.
type gallery struct {
	t      *testing.T
	secret string

	mu     sync.Mutex
	given  []givenPicture
	forged int
}

// givenPicture is the wire type WebhookPayloadPicture.
type givenPicture struct {
	Type    string `json:"event_type"`
	Kind    string `json:"kind"`
	Subject string `json:"subject"`
	Request string `json:"request"`
	Name    string `json:"name"`
	URL     string `json:"url"`
	SHA256  string `json:"sha256"`
	Error   string `json:"error"`
}

// gathers connects a gallery to an environment.
func (v *environment) gathers() *gallery {
	v.t.Helper()
	g := &gallery{t: v.t}
	var made struct {
		Secret string `json:"webhook_shared_secret"`
	}
	v.do(http.MethodPost, "/api/envs/"+v.id+"/refresh-webhook-secret", map[string]any{}, &made)
	g.secret = made.Secret
	at, err := net.Listen("tcp", webhookNetwork+":0")
	if err != nil {
		v.t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(g)
	_ = srv.Listener.Close()
	srv.Listener = at
	srv.Start()
	v.t.Cleanup(srv.Close)
	v.hooked(srv.URL+"/hook", "picture")
	return g
}

// ServeHTTP implements http.Handler.
func (g *gallery) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	mac := hmac.New(sha256.New, []byte(g.secret))
	mac.Write(b)
	var p givenPicture
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil || r.Header.Get("X-Nametag-Signature") != hex.EncodeToString(mac.Sum(nil)) {
		g.forged++
		return
	}
	g.given = append(g.given, p)
}

// next waits for the n-th photo.
func (g *gallery) next(n int) givenPicture {
	g.t.Helper()
	poll(g.t, fmt.Sprintf("photo %d at the webhook", n), func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.given) >= n
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.forged > 0 || len(g.given) != n {
		g.t.Errorf("%d deliveries without a right signature, %d photos, want %d", g.forged, len(g.given), n)
	}
	return g.given[n-1]
}

// picks chooses a photo on the badge page, and waits until the page shows it.
func (j *journey) picks(photo []byte) {
	j.t.Helper()
	j.b.Wait(`document.querySelector('[data-camera=photo]')`) // the script runs
	j.b.Eval(fmt.Sprintf(`(() => {
		const files = new DataTransfer();
		files.items.add(new File([Uint8Array.from(atob(%q), c => c.charCodeAt(0))], 'photo.jpg', { type: 'image/jpeg' }));
		const input = document.querySelector('#photo');
		input.files = files.files;
		input.dispatchEvent(new Event('change', { bubbles: true }));
		return 'done';
	})()`, base64.StdEncoding.EncodeToString(photo)))
	j.b.Wait(`document.querySelector('figure canvas') && document.querySelector('[name=seen]').value === 'yes'`)
}

// From the organisation's link to its webhook: a photo that a rule refuses, one that a
// reviewer refuses, and one that is taken and then is what the person shares.
func TestABadgePhotoIsTakenByAReviewerAndToldToTheOrganisation(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeConfig{Postern: webhookOption})
	v := e.environment(t, "badges", "ldap")
	told := v.gathers()
	v.do(http.MethodPost, "/api/envs/"+v.id+"/review", map[string]any{"badges": "reviewer"}, nil)
	holder := walletOf(t, v.trusting(), "Erika", "Mustermann")
	b := testenv.Chromium(t)
	b.Viewport(390, 844)
	j := v.on(b)
	b.Open(v.presign(map[string]any{"email": "erika@private.example", "flow": "badge", "ttl": "1h"}))
	b.WaitText("Your photo for the badge")
	b.Click("main form button")
	b.WaitText("asks you for this")
	b.Click("main .row form:first-child button")
	b.Wait(ceremonyReady)
	j.shows(holder, 0, "mdl", v.site)
	b.WaitText("Share this with")
	b.Click("main .row form:first-child button")
	b.WaitText("also asks you for a photo for your badge")
	b.Click("main a.button")
	b.WaitText("Take a photo, or choose one")

	j.picks(testenv.Portrait(t, 5))
	b.Click("main form > button")
	b.WaitText("The photo is too dark")
	if p := told.next(1); p.Error != "dark" || p.Type != "picture" || p.Kind != "badge" {
		t.Errorf("a dark photo was told as %+v", p)
	}
	desk := testenv.Chromium(t)
	desk.Viewport(1280, 800)
	for _, refused := range []bool{true, false} {
		j.picks(testenv.Portrait(t, 1))
		b.Click("main form > button")
		b.WaitText("Somebody looks at your photo")
		e.signIn(t, desk)
		desk.WaitText("Photo for a badge")
		desk.Click("form[action*='/take'] button")
		desk.WaitText("A plain, light background")
		desk.Wait(`[...document.querySelectorAll('figure img')].filter(i => i.complete && i.naturalWidth === 480).length === 1`)
		if refused {
			desk.Click("[name=reason][value=background]")
			desk.Click("button[value=refuse]")
			b.WaitText("Stand before a light wall") // by itself
			if p := told.next(2); p.Error != "background" {
				t.Errorf("what the reviewer refused was told as %+v", p)
			}
			continue
		}
		desk.Eval(`(document.querySelectorAll('[name=check]').forEach(c => c.click()), 'done')`)
		desk.Click("button[value=accept]")
		b.WaitText("We have your photo")
	}
	p := told.next(3)
	resp, err := http.Get(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	sum := sha256.Sum256(body)
	if err != nil || resp.StatusCode != http.StatusOK || p.Error != "" || p.Name != "Erika Mustermann" || p.SHA256 != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("taken: %+v, its address answers %d with %d bytes, %v", p, resp.StatusCode, len(body), err)
	}

	var shared struct {
		Claims     []string
		Photo      string
		Properties struct {
			Picture string `json:"profile_picture"`
		}
	}
	v.do(http.MethodGet, "/api/requests/"+p.Request, nil, &shared)
	at, err := url.Parse(shared.Properties.Picture)
	if err != nil || at.Path != "/people/"+p.Subject+"/picture" || shared.Photo != shared.Properties.Picture || !slices.Contains(shared.Claims, "picture") {
		t.Errorf("the request says %+v, %v", shared, err)
	}
	if status, got, err := v.try(http.MethodGet, at.Path, nil); err != nil || status != http.StatusOK || !bytes.Equal(got, body) {
		t.Errorf("the picture that is shared: %d, %d bytes, %v", status, len(got), err)
	}
	if _, got, err := v.try(http.MethodGet, "/people/"+p.Subject+"/properties/picture", nil); err != nil || !bytes.Contains(got, []byte(`"status":200`)) || !bytes.Contains(got, []byte(`/picture"`)) {
		t.Errorf("the person's properties: %s %v", got, err)
	}
	v.do(http.MethodDelete, "/people/"+p.Subject+"/properties/picture", nil, nil)
	if status, _, err := v.try(http.MethodGet, at.Path, nil); err == nil && status == http.StatusOK {
		t.Error("the picture is there after it was given back")
	}
}
