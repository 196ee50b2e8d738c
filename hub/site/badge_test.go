package site

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// choose puts a picture into the page's field, as if it were a file.
func choose(b *testenv.Browser, body []byte) {
	b.Wait(`document.querySelector('#photo')`) // it stands below the words that tests wait for
	b.Eval(fmt.Sprintf(`(() => {
		const bytes = Uint8Array.from(atob(%q), c => c.charCodeAt(0));
		const files = new DataTransfer();
		files.items.add(new File([bytes], 'photo.jpg', { type: 'image/jpeg' }));
		document.querySelector('#photo').files = files.files;
		return 'done';
	})()`, base64.StdEncoding.EncodeToString(body)))
}

// rows counts those of a table.
func (g *rig) rows(table string) int {
	g.t.Helper()
	all, err := store.Get(g.t.Context(), g.store, func(tx *store.Tx) ([]string, error) {
		return store.All(g.t.Context(), tx, store.Text, "SELECT env FROM "+table)
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return len(all)
}

// looksAtFaces is a program that finds what the test says, and the queue of people.
type looksAtFaces struct {
	request.Judgement
	reviews *review.Reviews
}

// JudgeBadge implements request.Faces.
func (l *looksAtFaces) JudgeBadge(context.Context, string, []byte, []byte) (request.Judgement, error) {
	return l.Judgement, nil
}

// AskPeople implements request.Faces.
func (l *looksAtFaces) AskPeople(ctx context.Context, tx *store.Tx, a request.AskedPhoto) (time.Time, error) {
	return l.reviews.AskBadge(ctx, tx, review.BadgeOrder{Env: a.Env, Use: a.Use, Person: a.Person, Name: a.Name, Subject: a.Subject, Addresses: a.Addresses})
}

// decides lets the only case that waits be decided; reason "" accepts.
func (l *looksAtFaces) decides(g *rig, reason string) {
	g.t.Helper()
	reviewer := review.Nameless + store.NewID()
	id, err := l.reviews.Take(g.t.Context(), g.env.ID, reviewer)
	if err == nil {
		verdict := review.Accept
		if reason != "" {
			verdict = review.Refuse
		}
		err = l.reviews.DecideBadge(g.t.Context(), g.env.ID, id, reviewer, verdict, reason, review.BadgeChecklist, audit.Principal{})
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// picks chooses a picture as a person does, so that the page's script hears of it.
func picks(b *testenv.Browser, body []byte) {
	b.Wait(`document.querySelector('[data-camera=photo]')`) // the script runs
	choose(b, body)
	b.Eval(`(document.querySelector('#photo').dispatchEvent(new Event('change', { bubbles: true })), 'done')`)
	b.Wait(`document.querySelector('figure canvas') && document.querySelector('[name=seen]').value === 'yes'`)
}

// From the link that the organisation made, over the proof, to the photo: no recovery is
// begun anywhere on the way (T1).
func TestT01_APersonGivesAPhotoForTheirBadgeWithoutARecovery(t *testing.T) {
	g := newRig(t)
	q, _, w := g.asks()
	look := &looksAtFaces{reviews: review.New(g.store, g.site.cfg.Log)}
	q.Faces, look.reviews.Badges = look, q
	b := testenv.Chromium(t)
	b.Open(g.url + "/?id_token=" + mint(t, g, token.Request{Email: "ada@acme.example", Flow: "badge", TTL: policy.Duration(time.Hour)}))
	b.WaitText("Your photo for the badge")
	g.looked(b, "badge-begin")
	b.Click("main form button")
	b.WaitText("asks you for this")
	b.Click("main .row form:first-child button")
	b.WaitText("Show your digital identity document")
	present(g, b, w)
	b.WaitText("Share this with")
	b.Click("main .row form:first-child button")
	b.WaitText("also asks you for a photo for your badge")
	g.looked(b, "badge-shared")
	b.Click("main a.button")
	b.WaitText("Take a photo, or choose one")
	g.looked(b, "badge-photo")
	b.Click("main form > button")
	b.WaitText("Choose a photo first")
	choose(b, testenv.Portrait(t, 5)) // the script hears nothing of it: the site shows what was chosen
	b.Click("main form > button")
	b.WaitText("The photo is too dark")
	g.looked(b, "badge-dark")
	look.Judgement = request.Judgement{Faults: []request.Fault{request.Unsuitable}, Reason: "The background is plain black."}
	choose(b, testenv.Portrait(t, 1))
	b.Click("main form > button")
	b.WaitText("Nothing was sent yet")
	b.Wait(`document.querySelector('figure img')?.naturalWidth === 480`) // it is 0 until the photo is there, after the words
	g.looked(b, "badge-look")
	b.Click("form[action$='/retake'] button")
	b.WaitText("Take a photo, or choose one")
	choose(b, testenv.Portrait(t, 1))
	b.Click("main form > button")
	b.WaitText("Nothing was sent yet")
	b.Click("form[action$='/send'] button")
	b.WaitText("The background is plain black.")
	g.looked(b, "badge-unsuitable")

	look.Judgement = request.Judgement{People: true}
	picks(b, testenv.Portrait(t, 1))
	g.looked(b, "badge-seen")
	b.Click("main form > button")
	b.WaitText("Somebody looks at your photo")
	g.looked(b, "badge-asked")
	if n := g.rows("person_pictures"); n != 1 {
		t.Errorf("%d pictures while people look at one", n)
	}
	b.Click("main .part a")
	b.WaitText("Take a photo, or choose one")
	b.Open(b.Eval(`location.origin + location.pathname`))
	b.WaitText("Somebody looks at your photo")
	look.decides(g, "background")
	b.WaitText("Please send another photo") // by itself
	b.WaitText("Stand before a light wall")
	g.looked(b, "badge-refused")
	if n := g.rows("person_pictures"); n != 0 {
		t.Errorf("%d pictures are kept that were refused", n)
	}
	picks(b, testenv.Portrait(t, 1))
	b.Click("main form > button")
	b.WaitText("Somebody looks at your photo")
	look.decides(g, "")
	b.WaitText("We have your photo")
	g.looked(b, "badge-taken")
	if n := g.rows("recoveries") + g.rows("verifications"); n != 0 {
		t.Errorf("%d rows of recoveries", n)
	}
	if n := g.rows("person_pictures"); n != 1 {
		t.Errorf("%d pictures are kept", n)
	}
	b.Open(g.url + "/badge")
	b.WaitText("Go on with the photo")
}

func TestTheBadgePageIsForThoseWhomALinkAdmits(t *testing.T) {
	g := newRig(t)
	_, r, _ := g.asks()
	p := g.person()
	if p.get("/badge"); p.status != http.StatusForbidden {
		t.Errorf("without a link: %d", p.status)
	}
	p.get("/?id_token=" + mint(t, g, token.Request{Flow: "enroll"}))
	if p.get("/badge"); p.status != http.StatusForbidden {
		t.Errorf("with another link: %d", p.status)
	}
	p.get(request.LinkPath)
	p.send(request.LinkPath, url.Values{"token": {r.Ticket}}) // a request that asks for no picture
	use := strings.TrimPrefix(p.at.Path, request.LinkPath+"/")
	if p.get("/badge/" + use); p.at.Path != request.LinkPath+"/"+use {
		t.Errorf("a request without a picture: %d at %s", p.status, p.at.Path)
	}
	if other := g.person().get("/badge/" + use); other.status != http.StatusNotFound {
		t.Errorf("another browser: %d", other.status)
	}
	one := g.person()
	one.get("/?id_token="+mint(t, g, token.Request{Flow: "badge", OneShot: true})).sees(200, "A good photo")
	one.get("/badge").sees(200, "A good photo") // reading uses nothing up (T32)
	one.send("/badge", nil).sees(200, "Your name")
	one.get("/badge")
	if one.send("/badge", nil); one.status != http.StatusForbidden {
		t.Errorf("a one-shot link a second time: %d", one.status)
	}
	here := g.person()
	if here.get("/badge?id_token="+mint(t, g, token.Request{Flow: "badge"})).sees(200, "A good photo"); here.at.Path != "/badge" || here.at.RawQuery != "" {
		t.Errorf("a link to the page itself: %s", here.at)
	}
}

// uploads posts a picture to the form of the page that the person is at, as a browser does
// without scripts.
func (p *person) uploads(body []byte) *person {
	p.t.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("photo", "x.jpg")
	if err == nil {
		_, err = part.Write(body)
	}
	for _, m := range hidden.FindAllStringSubmatch(p.body, -1) {
		err = errors.Join(err, w.WriteField(m[1], unescape(m[2])))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, p.url+p.at.Path, &form)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", w.FormDataContentType())
	r.Header.Set("Origin", p.url)
	return p.do(r)
}

// presents answers what the page asks with a wallet, by the form that the page's script
// posts.
func (p *person) presents(g *rig, w *evidencetest.Wallet) *person {
	p.t.Helper()
	asked := regexp.MustCompile(`(?s)<script[^>]* id="request"[^>]*>(.*?)</script>`).FindStringSubmatch(p.body)
	if asked == nil {
		p.t.Fatalf("the page asks nothing:\n%s", p.body)
	}
	var ask struct {
		Digital []struct {
			Protocol string          `json:"protocol"`
			Data     json.RawMessage `json:"data"`
		} `json:"digital"`
	}
	if err := json.Unmarshal([]byte(asked[1]), &ask); err != nil {
		p.t.Fatal(err)
	}
	data, err := w.AnswerBrowser(ask.Digital[0].Protocol, ask.Digital[0].Data, g.url, "mdl", time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	return p.send("/answer", url.Values{"answer": {store.JSON(map[string]any{"protocol": ask.Digital[0].Protocol, "data": data})}})
}

// Where no script runs the site itself shows what was chosen, before anything is sent: the
// person looks at it, takes another one, and sends that.
func TestAPhotoIsLookedAtBeforeItIsSentWhereNoScriptRuns(t *testing.T) {
	g := newRig(t)
	q, _, w := g.asks()
	look := &looksAtFaces{Judgement: request.Judgement{People: true}, reviews: review.New(g.store, g.site.cfg.Log)}
	q.Faces, look.reviews.Badges = look, q
	p := g.person()
	p.get("/?id_token="+mint(t, g, token.Request{Email: "ada@acme.example", Flow: "badge", TTL: policy.Duration(time.Hour)})).sees(200, "A good photo")
	p.send("/badge", nil).send("/agree", nil).presents(g, w).sees(200, "Share this with").send("/share", nil).sees(200, "also asks you for a photo")
	badge := "/badge/" + strings.TrimPrefix(p.at.Path, request.LinkPath+"/")
	draft := func() int {
		t.Helper()
		at := p.at
		shown := regexp.MustCompile(`<img src="([^"]*/photo/draft[^"]*)"`).FindStringSubmatch(p.body)
		if shown == nil {
			t.Fatalf("the page shows no photo:\n%s", p.body)
		}
		body, status := p.body, p.status
		p.get(unescape(shown[1]))
		m, _, err := image.DecodeConfig(strings.NewReader(p.body))
		if err != nil || p.header.Get("Content-Type") != "image/jpeg" {
			t.Fatalf("what the page shows is no picture: %v, %s", err, p.header.Get("Content-Type"))
		}
		p.at, p.body, p.status = at, body, status
		return m.Width
	}
	p.get(badge).uploads(testenv.Portrait(t, 1)).sees(200, "Is this the photo that you want to send?", "Nothing was sent yet")
	if width := draft(); width != 480 || g.rows("reviews") != 0 {
		t.Errorf("a photo %d wide is shown, and %d people are asked", width, g.rows("reviews"))
	}
	p.send("/retake", nil).sees(200, "Take a photo, or choose one")
	if n := g.rows("person_pictures"); n != 0 {
		t.Errorf("%d pictures are kept of one who takes another", n)
	}
	p.uploads(testenv.Portrait(t, 1)).sees(200, "Nothing was sent yet").send("/send", nil).sees(200, "Somebody looks at your photo", "<noscript>")
	if n := g.rows("reviews"); n != 1 {
		t.Errorf("%d people are asked", n)
	}
	look.decides(g, "")
	p.get(badge).sees(200, "We have your photo")
}

// A storage that is away is no fault of ours, nor of the person's: they are told so, and when
// to come back.
func TestAPhotoInAStorageThatIsAwayIsAskedForLater(t *testing.T) {
	g := newRig(t)
	q, _, w := g.asks()
	p := g.person()
	p.get("/?id_token="+mint(t, g, token.Request{Email: "ada@acme.example", Flow: "badge", TTL: policy.Duration(time.Hour)})).sees(200, "A good photo")
	p.send("/badge", nil).send("/agree", nil).presents(g, w).sees(200, "Share this with").send("/share", nil).sees(200, "also asks you for a photo")
	badge := "/badge/" + strings.TrimPrefix(p.at.Path, request.LinkPath+"/")
	p.get(badge).uploads(testenv.Portrait(t, 1)).sees(200, "Nothing was sent yet").send("/send", nil).sees(200, "We have your photo")
	q.Shelf = storetest.Moved(t, g.store, g.env.ID)
	if p.get(badge + "/photo/" + store.PictureChosen); p.status != 200 || p.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("%d %s", p.status, p.header.Get("Content-Type"))
	}
	q.Shelf = storetest.Shelf(nil)
	if p.get(badge+"/photo/"+store.PictureChosen).sees(503, "We cannot go on at the moment"); p.header.Get("Retry-After") == "" {
		t.Errorf("nobody says when to come back: %v", p.header)
	}
	p.get(badge).sees(200, "We have your photo")
}

// A form without scripts, in German, with a file that is none.
func TestABadgePhotoIsSentWithoutScripts(t *testing.T) {
	g := newRig(t)
	g.asks()
	g.site.cfg.Badges, g.site.cfg.Photos = sharedAlready{}, sharedAlready{}
	p := g.person()
	p.get("/badge/u?lang=de").sees(200, "Machen Sie ein Foto", `type="file"`)
	post := func(token string) *person {
		t.Helper()
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, err := w.CreateFormFile("photo", "x.jpg")
		if err == nil {
			_, err = part.Write([]byte("GIF89a"))
		}
		if err = errors.Join(err, w.WriteField("form", token), w.Close()); err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest(http.MethodPost, g.url+"/badge/u?lang=de", &form)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", w.FormDataContentType())
		r.Header.Set("Origin", g.url)
		return p.do(r)
	}
	token := regexp.MustCompile(`name="form" value="([^"]*)"`).FindStringSubmatch(p.body)
	post("guessed").sees(403)
	post(unescape(token[1])).sees(422, "Diese Datei ist kein Foto")
}

// sharedAlready is a use whose person has shared, and whose photos are none.
type sharedAlready struct {
	Badges
	Photos
}

func (sharedAlready) Badge(context.Context, string, string, string) (request.Badge, error) {
	return request.Badge{}, nil
}

func (sharedAlready) DraftBadge(context.Context, string, string, string, []byte) ([]request.Fault, error) {
	return []request.Fault{request.NoPicture}, nil
}
