package site

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/internal/testenv"
)

// face is a picture of a head before a wall: dark divides the light.
func face(t *testing.T, dark int) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 480, 640))
	for y := range 640 {
		for x := range 480 {
			v := 200
			if dx, dy := float64(x-240)/150, float64(y-280)/200; dx*dx+dy*dy < 1 {
				v = 90 + 60*((x/10+y/10)%2)
			}
			m.SetGray(x, y, color.Gray{uint8(v / dark)})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// choose puts a picture into the page's field, as if it were a file.
func choose(b *testenv.Browser, body []byte) {
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

// looksAtFaces is a program that finds what the test says.
type looksAtFaces struct {
	faults []request.Fault
	reason string
}

// JudgeBadge implements request.Faces.
func (l *looksAtFaces) JudgeBadge(context.Context, string, []byte, []byte) ([]request.Fault, string, error) {
	return l.faults, l.reason, nil
}

// From the link that the organisation made, over the proof, to the photo: no recovery is
// begun anywhere on the way (T1).
func TestT01_APersonGivesAPhotoForTheirBadgeWithoutARecovery(t *testing.T) {
	g := newRig(t)
	q, _, w := g.asks()
	look := &looksAtFaces{}
	q.Faces = look
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
	choose(b, face(t, 5))
	b.Click("main form > button")
	b.WaitText("The photo is too dark")
	g.looked(b, "badge-dark")
	look.faults, look.reason = []request.Fault{request.Unsuitable}, "The background is plain black."
	choose(b, face(t, 1))
	b.Click("main form > button")
	b.WaitText("The background is plain black.")
	g.looked(b, "badge-unsuitable")
	look.faults = nil
	choose(b, face(t, 1))
	b.Click("main form > button")
	b.WaitText("We have your photo")
	g.looked(b, "badge-taken")
	if n := g.rows("recoveries") + g.rows("verifications"); n != 0 {
		t.Errorf("%d rows of recoveries", n)
	}
	if n := g.rows("person_pictures"); n != 1 {
		t.Errorf("%d pictures are kept", n)
	}
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
}

// A form without scripts, in German, with a file that is none.
func TestABadgePhotoIsSentWithoutScripts(t *testing.T) {
	g := newRig(t)
	g.asks()
	g.site.cfg.Badges = sharedAlready{}
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
type sharedAlready struct{ Badges }

func (sharedAlready) Badge(context.Context, string, string, string) (request.Badge, error) {
	return request.Badge{}, nil
}

func (sharedAlready) SetBadge(context.Context, string, string, string, []byte, request.Client) ([]request.Fault, string, error) {
	return []request.Fault{request.NoPicture}, "", nil
}
