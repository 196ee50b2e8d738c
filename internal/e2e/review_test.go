package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// snap takes one picture of the capture page with the camera.
func (j *journey) snap(kind string) {
	j.t.Helper()
	j.b.Click("[data-camera=" + kind + "]")
	j.b.Wait(fmt.Sprintf(`document.querySelector('[data-snap=%s]') && !document.querySelector('[data-snap=%s]').disabled`, kind, kind))
	j.b.Click("[data-snap=" + kind + "]")
	j.b.Wait(fmt.Sprintf(`document.querySelector('#%s').files.length === 1`, kind))
}

// accessible fails for each violation on the page.
func accessible(t *testing.T, b *testenv.Browser, what string) {
	t.Helper()
	for _, v := range b.Axe() {
		t.Errorf("%s: %s", what, v)
	}
}

// signIn opens the console by a new link: each is another reviewer.
func (e *edge) signIn(t *testing.T, b *testenv.Browser) {
	t.Helper()
	b.Open(e.newConsoleLink(t))
	b.Click("main button")
	b.WaitText("Is recovery working?")
	b.Open(e.url + "/console/reviews")
}

// Document and face before a camera, refused by one person, accepted by another.
func TestADocumentIsCapturedReviewedAndAppealedInABrowser(t *testing.T) {
	t.Parallel()
	s := corp(t)
	mara := hire(t, s, "mara", "")
	e := startEdge(t, edgeConfig{})
	v := e.environment(t, "capture", "ldap")
	v.startAgent(slapdAgent(s))
	v.change(map[string]any{"methods": map[string]any{"default": [][]string{{"mail_code", "document_review"}}}})
	b := testenv.Chromium(t, "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
	b.Viewport(390, 840)
	j := v.on(b)
	j.start(mara.mail, "password")
	j.b.Type("#code", v.code(mara.private, 0))
	j.b.Click("main form button")
	j.b.WaitText("Photograph your document")
	accessible(t, b, "capture")
	before := j.b.Eval("location.pathname")

	j.b.Click("button[value=submit]") // nothing without consent
	j.b.Wait(`document.querySelector('#consent-error')`)
	j.b.Click("#consent")
	j.snap("front")
	j.snap("selfie")
	j.b.Click("button[value=submit]")
	j.b.WaitText("looks at your pictures")
	if at := j.b.Eval("location.pathname"); at != before {
		t.Errorf("the page is %s, not %s", at, before)
	}

	desk := testenv.Chromium(t)
	desk.Viewport(1280, 900)
	e.signIn(t, desk)
	desk.WaitText("1 case waits for a reviewer")
	accessible(t, desk, "the queue")
	desk.Click("form[action*='/take'] button")
	desk.WaitText("Person " + mara.uid)
	desk.Wait(`[...document.images].filter(i => i.closest('figure')).length === 2 && [...document.images].every(i => i.complete && i.naturalWidth > 0)`)
	accessible(t, desk, "the case")
	desk.Type("#reason", "the face is covered")
	desk.Click("button[value=fraud]")
	desk.WaitText("Nothing waits for you")

	j.b.Open(j.site + before)
	j.b.WaitText("Your pictures were not accepted")
	accessible(t, b, "refused")
	j.b.Click("button[value=appeal]")
	j.b.WaitText("looks at your pictures")

	desk.Open(e.url + "/console/reviews")
	desk.WaitText("You have decided about it before")
	if strings.Contains(desk.Text(), "Give me a case") {
		t.Error("the first reviewer may take the appeal")
	}
	e.signIn(t, desk)
	desk.WaitText("Appeal")
	desk.Click("form[action*='/take'] button")
	desk.WaitText("Person " + mara.uid)
	desk.Eval(`document.querySelectorAll('[name=check]').forEach(c => c.click())`)
	desk.Click("button[value=accept]")
	desk.WaitText("Nothing waits for you")

	j.b.Open(j.site + before)
	secret := j.reset()
	if err := s.WhoAmI(mara.dn, secret); err != nil {
		t.Errorf("with the new password: %v", err)
	}
	if got := mara.writes(t, s); !slices.Equal(got, []string{"modify"}) {
		t.Errorf("the directory logged %v", got)
	}
}

// upload sends the capture page's form as a browser without scripts does.
func (v *visitor) upload(files map[string][]byte, fields ...string) int {
	v.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for name, values := range v.form(fields...) {
		_ = m.WriteField(name, values[0])
	}
	for name, body := range files {
		f, err := m.CreateFormFile(name, name+".jpg")
		if err != nil {
			v.t.Fatal(err)
		}
		_, _ = f.Write(body)
	}
	_ = m.Close()
	req, err := http.NewRequest(http.MethodPost, v.site+v.recovery()+"/capture", &b)
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Content-Type", m.FormDataContentType())
	req.Header.Set("X-Forwarded-For", v.address)
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.status, v.page = resp.StatusCode, string(page)
	return v.status
}

func TestADocumentIsHandedInAsFilesWithoutScripts(t *testing.T) {
	t.Parallel()
	s := corp(t)
	milo := hire(t, s, "milo", "")
	env := sharedEdge(t).environment(t, "files", "ldap")
	env.startAgent(slapdAgent(s))
	env.change(map[string]any{"methods": map[string]any{"default": [][]string{{"mail_code", "document_review"}}}})
	v := env.visit()
	v.begin(milo.mail, "password")
	v.post("code", "code", env.code(milo.private, 0))
	poll(t, "the capture page", func() bool { v.get(""); return strings.Contains(v.page, "/capture") })
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 64, 48)), nil); err != nil {
		t.Fatal(err)
	}
	both := map[string][]byte{"front": photo.Bytes(), "selfie": photo.Bytes()}
	v.upload(both, "what", "submit")
	v.want(422, "without consent")
	v.upload(map[string][]byte{"front": []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)}, "what", "submit", "consent", "yes")
	v.want(422, "an SVG file")
	v.upload(map[string][]byte{"front": photo.Bytes()}, "what", "submit")
	v.want(422, "without a face")
	v.upload(map[string][]byte{"selfie": photo.Bytes()}, "what", "submit", "zone", "no zone at all")
	v.want(200, "the second picture")
	if !strings.Contains(v.text(), "looks at your pictures") {
		t.Errorf("handed in, the page says: %s", v.text())
	}
	v.upload(both, "what", "submit")
	v.want(200, "handed in again")
	if got := milo.writes(t, s); len(got) != 0 {
		t.Errorf("the directory logged %v", got)
	}
}
