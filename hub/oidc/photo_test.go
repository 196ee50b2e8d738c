package oidc_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/hub/webhook"
)

const programSecret = "a secret of thirty-two characters"

// A program is the organisation's analyzer: an HTTPS server that checks signatures. It
// knows faces by their shade: two pictures of one shade are one person.
type program struct {
	t     *testing.T
	asked atomic.Int32
	word  atomic.Value // its word on all pictures, where it does not look at them
}

func (p *program) mac(at, id string, body []byte) string {
	m := hmac.New(sha256.New, []byte(programSecret))
	_, _ = fmt.Fprintf(m, "%s.%s.%s", at, id, body)
	return hex.EncodeToString(m.Sum(nil))
}

func (p *program) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	id := r.Header.Get("X-Nametag-ID")
	at, mac, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("X-Postern-Signature"), "t="), ",v1=")
	var q struct {
		Images []struct {
			Kind string
			Data []byte
		}
		Checks []string
	}
	if mac != p.mac(at, id, body) || json.Unmarshal(body, &q) != nil {
		http.Error(w, "unsigned", http.StatusForbidden)
		return
	}
	if slices.Contains(q.Checks, "document") { // a case, which people read
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	p.asked.Add(1)
	result, _ := p.word.Load().(string)
	if result == "" {
		if len(q.Images) != 2 || q.Images[0].Kind != "selfie" || q.Images[1].Kind != "account" || !slices.Equal(q.Checks, []string{"face_account"}) {
			p.t.Errorf("asked %v of %d pictures", q.Checks, len(q.Images))
		}
		result = "fail"
		if shade(p.t, q.Images[0].Data) == shade(p.t, q.Images[1].Data) {
			result = "pass"
		}
	}
	answer, _ := json.Marshal(map[string]any{"checks": []map[string]string{{"name": "face_account", "result": result}}})
	now := fmt.Sprint(time.Now().Unix())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Postern-Signature", "t="+now+",v1="+p.mac(now, id, answer))
	_, _ = w.Write(answer)
}

// face is a picture of somebody.
func face(t *testing.T, of uint8) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 160, 160))
	for i := range img.Pix {
		img.Pix[i] = of
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// shade returns whose picture it is, to the nearest ten.
func shade(t *testing.T, body []byte) int {
	img, err := jpeg.Decode(bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return -1
	}
	return int(color.GrayModel.Convert(img.At(80, 80)).(color.Gray).Y+5) / 10
}

// Whose faces they are.
const (
	annsFace  = 60
	otherFace = 200
)

// photographing is an office where people read documents, and a program compares faces.
func photographing(t *testing.T) (*office, *program) {
	t.Helper()
	a, p := newOffice(t, storetest.SQLite(t)), &program{t: t}
	server := httptest.NewTLSServer(p)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	host, _, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	hooks, err := webhook.New(webhook.Config{Store: a.store, Private: []netip.Prefix{netip.MustParsePrefix(host + "/32")}, Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	a.reviews = review.New(a.store, slog.New(slog.NewTextHandler(t.Output(), nil)))
	a.reviews.Analyst, a.reviews.Flow, a.reviews.Watcher, a.requests.Pictures = hooks, settles{a.requests}, a.requests, a.reviews
	a.requests.Verifiers = append(a.requests.Verifiers, a.reviews)
	a.settings(review.Settings{Requests: true, Analyzer: &review.Analyzer{URL: server.URL, Secret: programSecret}})
	return a, p
}

func (a *office) settings(s review.Settings) {
	a.t.Helper()
	a.tx(func(ctx context.Context, tx *store.Tx) error {
		return review.WriteSettings(ctx, tx, a.fixture.Env.ID, s)
	})
}

// photo keeps the picture of an account; 0 removes it.
func (a *office) photo(identifier string, of uint8) {
	a.t.Helper()
	a.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.FindAccounts(ctx, a.fixture.Env.ID, identifier)
		if err != nil || len(all) != 1 {
			return errors.Join(err, fmt.Errorf("%d accounts", len(all)))
		}
		if of == 0 {
			return tx.RemoveAccountPhoto(ctx, all[0].Env, all[0].ID)
		}
		return tx.SetAccountPhoto(ctx, all[0].Env, all[0].ID, "00", face(a.t, of))
	})
}

// settles tells requests what reviewers decided.
type settles struct{ *request.Requests }

// Settle implements verify.Settler.
func (s settles) Settle(ctx context.Context, env, use, _ string, v verify.Verdict) error {
	err := s.Requests.Settle(ctx, env, use, v)
	if errors.Is(err, request.ErrStep) {
		return verify.ErrNobody
	}
	return err
}

// hands takes pictures of a document and of somebody, and hands them in.
func (a *office) hands(o string, session string, of uint8) (id string) {
	a.t.Helper()
	ctx, env := a.t.Context(), a.fixture.Env.ID
	a.ok(a.requests.Agree(ctx, env, o, session, request.Client{Address: "192.0.2.7"}))
	a.ok(a.requests.Choose(ctx, env, o, session, "document_review"))
	v, err := a.requests.View(ctx, env, o, session)
	a.ok(err)
	a.ok(a.reviews.Keep(ctx, env, v.Case, review.Given{Consent: true, Images: map[string][]byte{"front": face(a.t, 120), "selfie": face(a.t, of)}}))
	a.ok(a.requests.Answer(ctx, env, o, session, review.Submitted))
	return v.Case
}

func (a *office) ok(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// reads is a reviewer who reads a document and accepts it.
func (a *office) accepts(id string, f review.Facts, checks []string) {
	a.t.Helper()
	ctx, env := a.t.Context(), a.fixture.Env.ID
	got, err := a.reviews.Take(ctx, env, "S-ann")
	if err != nil || got != id {
		a.t.Fatalf("given %q: %v", got, err)
	}
	a.ok(a.reviews.Transcribe(ctx, env, id, "S-ann", f))
	a.ok(a.reviews.Decide(ctx, env, id, "S-ann", review.Accept, "", checks, audit.Principal{Role: "owner"}))
}

// tells leads somebody with a selfie through, and returns what the application is told.
func (a *office) tells(claims, hint string, f review.Facts, of uint8, checks []string) jwt.MapClaims {
	a.t.Helper()
	ctx, env, dir := a.t.Context(), a.fixture.Env.ID, a.fixture.Directory.ID
	form := a.demo(dir, a.key)
	form.Set("claims", claims)
	form.Set("email_hint", hint)
	browser := a.newPhone()
	o, err := a.provider.Open(ctx, env, a.ticket(a.get(browser, authorizeBy(dir, a.pushes(form)))), "en", recovery.Client{Address: "192.0.2.7", Origin: "https://" + site})
	a.ok(err)
	a.accepts(a.hands(o.Use, o.Session, of), f, checks)
	to, err := a.provider.FinishPerson(ctx, env, o.Use, o.Session, true)
	a.ok(err)
	back := a.get(browser, to)
	if back.location == nil {
		a.t.Fatalf("back: %d %s", back.status, back.body)
	}
	got, status := a.redeems(exchanging(dir, a.key, back.location.Query().Get("code"), demoBack), "Accept", "application/json")
	if status != http.StatusOK {
		a.t.Fatalf("%d %+v, %v", status, got, url.Values(back.location.Query()))
	}
	said, _ := a.reads(got.ID, dir)
	return said
}

var (
	annsDocument   = review.Facts{Kind: review.Passport, Given: "Ann", Family: "Lee", Birth: "1980-02-29", Number: "A1", Country: "DE", Expiry: "2099-12-31"}
	wedsDocument   = review.Facts{Kind: review.Passport, Given: "Ann", Family: "Zimmermann", Birth: "1980-02-29", Number: "A2", Country: "DE", Expiry: "2099-12-31"}
	photoClaim     = `{"id_token":{"account":{"value":"photo"}}}`
	nameMatchClaim = `{"id_token":{"account":null}}`
)

// T16: the photo of an account is compared with the person, by a program of the
// organisation. Where it is the same face the name need not agree, where it is another one
// nothing else helps, and where nobody is sure nobody is named. A reviewer who was shown the
// photo says it before a program is asked, and what they do not say no program says.
func TestT16_AnAccountIsToldByThePhotoThatAProgramCompared(t *testing.T) {
	both := append(slices.Clone(review.Checklist), review.AccountPhoto)
	for name, c := range map[string]struct {
		claims, hint string
		document     review.Facts
		photo        uint8  // of the account; 0: none
		word         string // of the program; "": it looks
		want         any    // failure_reason; nil: the account
		asked        int32
		ticks        []string
	}{
		"the same face":                     {photoClaim, "", annsDocument, annsFace, "", nil, 1, review.Checklist},
		"the same face, by its address":     {photoClaim, "ann@example.com", annsDocument, annsFace, "", nil, 0, both},
		"the same face with another name":   {photoClaim, "ann@example.com", wedsDocument, annsFace, "", nil, 0, both},
		"another face":                      {photoClaim, "", annsDocument, otherFace, "", "photo_not_matched", 1, review.Checklist},
		"no photo":                          {photoClaim, "", annsDocument, 0, "", "photo_not_found", 0, review.Checklist},
		"a program that is not sure":        {photoClaim, "", annsDocument, annsFace, "unsure", "photo_not_compared", 1, review.Checklist},
		"nobody of that name":               {photoClaim, "", wedsDocument, annsFace, "", "account_not_found", 0, review.Checklist},
		"by name, and the same face":        {nameMatchClaim, "", annsDocument, annsFace, "", nil, 1, review.Checklist},
		"by address, where the face is it":  {nameMatchClaim, "ann@example.com", wedsDocument, annsFace, "", nil, 0, both},
		"by name, but another face":         {nameMatchClaim, "", annsDocument, otherFace, "", "photo_not_matched", 1, review.Checklist},
		"by name, where there is no photo":  {nameMatchClaim, "", annsDocument, 0, "", nil, 0, review.Checklist},
		"by name, and nobody else is asked": {nameMatchClaim, "bob@example.com", annsDocument, annsFace, "", "account_not_found", 0, review.Checklist},
		"a reviewer who does not say so":    {photoClaim, "ann@example.com", annsDocument, annsFace, "", "photo_not_compared", 0, review.Checklist},
		"the same, and the name is theirs":  {nameMatchClaim, "ann@example.com", annsDocument, annsFace, "", "photo_not_compared", 0, review.Checklist},
	} {
		t.Run(name, func(t *testing.T) {
			a, p := photographing(t)
			p.word.Store(c.word)
			if c.photo != 0 {
				a.photo("ann@example.com", c.photo)
			}
			said := a.tells(c.claims, c.hint, c.document, annsFace, c.ticks)
			status, _ := said["account_status"].(map[string]any)
			account, _ := said["account"].(map[string]any)
			if status["failure_reason"] != c.want || (account["immutable_external_id"] == a.tenant.Object) != (c.want == nil) || p.asked.Load() != c.asked {
				t.Errorf("%v, asked %d times", said, p.asked.Load())
			}
			if want := map[bool]any{true: "photo", false: "name_match"}[c.claims == photoClaim]; c.want == nil && (account["binding_strength"] != want || said["acr"] != want) {
				t.Errorf("strength %v, acr %v", account["binding_strength"], said["acr"])
			}
		})
	}
}

// Without a program nobody compares, and a program that is away is no reason to name anybody.
func TestNobodyIsToldByAPhotoThatNobodyCompared(t *testing.T) {
	a, _ := photographing(t)
	a.photo("ann@example.com", annsFace)
	a.settings(review.Settings{Requests: true, Analyzer: &review.Analyzer{URL: "https://127.0.0.1:1", Secret: programSecret}})
	reason := func(said jwt.MapClaims) any {
		status, _ := said["account_status"].(map[string]any)
		return status["failure_reason"]
	}
	if said := a.tells(photoClaim, "", annsDocument, annsFace, review.Checklist); reason(said) != "temporarily_unavailable" || said["account"] != nil {
		t.Errorf("a program that is away: %v", said)
	}
	a.settings(review.Settings{Requests: true})
	other := annsDocument
	other.Number = "A9"
	if said := a.tells(photoClaim, "", other, annsFace, review.Checklist); reason(said) != "photo_not_compared" || said["account"] != nil {
		t.Errorf("no program: %v", said)
	}
}

// Reviewers are shown the photo of the account that an application means, beside the face.
// What they say of it counts in place of a program; that the document is one does not hang
// on it. Whoever owns the account does not decide.
func TestReviewersCompareTheFaceWithThePhotoOfTheAccountThatIsMeant(t *testing.T) {
	a, p := photographing(t)
	a.settings(review.Settings{Requests: true})
	a.photo("ann@example.com", annsFace)
	both := append(slices.Clone(review.Checklist), review.AccountPhoto)
	number := 0
	for _, c := range []struct {
		name, hint string
		checks     []string
		want       any
	}{
		{"they said so", "ann@example.com", both, nil},
		{"they did not", "ann@example.com", review.Checklist, "photo_not_compared"},
		{"they were shown none", "", both, "photo_not_compared"},
	} {
		number++
		f := annsDocument
		f.Number = fmt.Sprint("B", number)
		said := a.tells(photoClaim, c.hint, f, annsFace, c.checks)
		status, _ := said["account_status"].(map[string]any)
		if status["failure_reason"] != c.want || (said["account"] == nil) != (c.want != nil) {
			t.Errorf("%s: %v", c.name, said)
		}
	}
	if p.asked.Load() != 0 {
		t.Error("a program was asked")
	}
}
