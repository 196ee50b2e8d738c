package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"mime/multipart"
	"net/http"
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

// signIn opens the console by a new link: each is another reviewer.
func (e *edge) signIn(t *testing.T, b *testenv.Browser) {
	t.Helper()
	b.Open(e.newConsoleLink(t))
	b.Click("main button")
	b.WaitText("Is recovery working?")
	b.Open(e.url + "/console/reviews")
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

// The directory's own picture is what a reviewer compares where the policy asks for one
// and no operator gave any; whoever has none there is refused after the proof.
func TestTheDirectorysPictureIsLentForTheReview(t *testing.T) {
	t.Parallel()
	s := corp(t)
	var face bytes.Buffer
	if err := jpeg.Encode(&face, image.NewGray(image.Rect(0, 0, 64, 48)), nil); err != nil {
		t.Fatal(err)
	}
	pictured, plain := hire(t, s, "pia", "jpegPhoto:: "+base64.StdEncoding.EncodeToString(face.Bytes())+"\n"), hire(t, s, "paul", "")
	env := startEdge(t, edgeConfig{}).environment(t, "lent", "ldap") // a queue of its own: cases are given by chance
	env.startAgent(slapdAgent(s))
	env.comparesPhotos()
	v := env.captures(pictured.mail, pictured.private)
	v.upload(map[string][]byte{"front": face.Bytes(), "selfie": face.Bytes()}, "what", "submit", "consent", "yes")
	v.want(200, "the pictures")
	b := testenv.Chromium(t)
	env.edge.signIn(t, b)
	b.Click("main form button")
	b.Wait(`document.querySelector('main img[src*="/account"]')?.naturalWidth > 0`)
	pictureOf(t, b, "lent")
	w := env.visit()
	w.begin(plain.mail, "password")
	w.post("code", "code", env.code(plain.private, 0))
	poll(t, "a refusal", func() bool {
		w.get("")
		return strings.Contains(w.text(), "not allowed") || strings.Contains(w.text(), "cannot")
	})
	if strings.Contains(w.page, "/capture") {
		t.Error("somebody without a picture is asked for a document")
	}
}

func TestActiveDirectorysPictureIsLentForTheReview(t *testing.T) {
	t.Parallel()
	s := testenv.SharedSamba(t)
	var face bytes.Buffer
	if err := jpeg.Encode(&face, image.NewGray(image.Rect(0, 0, 64, 48)), nil); err != nil {
		t.Fatal(err)
	}
	const mail, private = "pia.photo@corp.example", "pia.photo@home.example"
	s.AddPerson(t, testenv.SambaStaff, "pia.photo", testenv.SambaEmployeePassword, map[string][]string{
		"mail": {mail}, "otherMailbox": {private}, "displayName": {"Pia Photo"}, "thumbnailPhoto": {face.String()},
	})
	env := sharedEdge(t).environment(t, "thumbnails", "ad")
	env.startAgent(sambaAgent(s))
	env.comparesPhotos()
	env.captures(mail, private)
}

// comparesPhotos makes people compare faces before a password is reset.
func (v *environment) comparesPhotos() {
	v.t.Helper()
	v.change(map[string]any{"password_policy": map[string]any{"groups": []any{}, "default": "photo"}, "methods": map[string]any{"default": [][]string{{"mail_code"}}}})
}

// captures goes on to the page that wants a document, which somebody sees only whose photo
// can be compared.
func (v *environment) captures(mail, private string) *visitor {
	v.t.Helper()
	w := v.visit()
	w.begin(mail, "password")
	w.post("code", "code", v.code(private, 0))
	poll(v.t, "the capture page", func() bool { w.get(""); return strings.Contains(w.page, "/capture") })
	return w
}
