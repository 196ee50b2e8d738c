package api

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"image"
	"image/color/palette"
	"image/gif"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/protocol"
)

// archiveOf is a zip file of files: name, content, name, content.
func archiveOf(files ...string) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err == nil {
			_, err = io.WriteString(f, files[i+1])
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// program is the operator's: it answers by what the question holds.
type program func(checks []string, images map[string][]byte) []review.Finding

// Exchange implements review.Analyst.
func (p program) Exchange(_ context.Context, _, _, id string, body []byte) ([]byte, error) {
	var q struct {
		Case   string   `json:"case"`
		Checks []string `json:"checks"`
		Images []struct {
			Kind string `json:"kind"`
			Data []byte `json:"data"`
		} `json:"images"`
	}
	if err := json.Unmarshal(body, &q); err != nil || q.Case != id {
		return nil, os.ErrInvalid
	}
	images := map[string][]byte{}
	for _, i := range q.Images {
		images[i.Kind] = i.Data
	}
	found := p(q.Checks, images)
	if found == nil {
		return nil, os.ErrDeadlineExceeded
	}
	return json.Marshal(map[string]any{"checks": found})
}

// analyzer sets a program up for the environment of a place.
func (st *stack) analyzer(t *testing.T, p place, answers program) {
	t.Helper()
	st.reviews.Analyst = answers
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return review.WriteSettings(ctx, tx, p.Env.ID, review.Settings{Analyzer: &review.Analyzer{URL: "https://analyzer.test", Secret: strings.Repeat("s", 32)}})
	})
}

func (st *stack) bulk(t *testing.T, method, archive string) []photoResult {
	t.Helper()
	var out photoResults
	got := st.want(t, 200, method, "/api/account/photos?directory="+st.mine.Directory.ID, archive)
	if err := json.Unmarshal([]byte(got.body), &out); err != nil {
		t.Fatal(err, got.body)
	}
	return out.Files
}

// An answer names every file: names of 64 KiB, of which an archive holds thousands, would be
// half a gigabyte in memory, and six times as much as JSON.
func TestP21_NamesInAnArchiveAreBounded(t *testing.T) {
	st := lite(t)
	long := strings.Repeat("\x01", 60_000) + ".png"
	files := st.bulk(t, "PUT", archiveOf(long, aFace(), "mine-1.png", aFace()))
	if len(files) != 2 || files[0].Status != 400 || !strings.Contains(files[0].Error, "name") || len(files[0].Filename) > 1100 {
		t.Errorf("a name of 60,000 bytes: %d files, %d %q, %d bytes of it", len(files), files[0].Status, files[0].Error, len(files[0].Filename))
	}
	if files[1].Status != 200 {
		t.Errorf("the file behind it: %+v", files[1])
	}
}

func TestP20_AnArchiveOfPhotosIsTakenFileByFile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		st.mine.Accounts(t, s, protocol.Account{ID: "twin", Identifiers: []string{"twice"}}, protocol.Account{ID: "other", Identifiers: []string{"twice"}})
		files := st.bulk(t, "PUT", archiveOf("bulk/", "", "bulk/alice@mine.test.JPG", aFace(), "bulk/danielle@example.com.jpg", aFace(), "mine-1.png", "no picture",
			"mine-1.gif", aFace(), "deep/folder/"+st.mine.account.ID+".jpeg", aFace(), "twice.png", aFace(), "__MACOSX/bulk/._mine-1.png", "x", st.other.account.ID+".png", aFace()))
		want := []photoResult{
			{Filename: "bulk/alice@mine.test.JPG", Status: 200, Account: st.mine.account.ID}, {Filename: "bulk/danielle@example.com.jpg", Status: 404, Error: "account not found"},
			{Filename: "mine-1.png", Status: 400, Account: st.mine.account.ID, Error: "the image must"}, {Filename: "mine-1.gif", Status: 400, Error: ".jpg, .jpeg, .png"},
			{Filename: "deep/folder/" + st.mine.account.ID + ".jpeg", Status: 200, Account: st.mine.account.ID}, {Filename: "twice.png", Status: 409, Error: "several accounts"},
			{Filename: st.other.account.ID + ".png", Status: 404, Error: "account not found"},
		}
		if len(files) != len(want) {
			t.Fatalf("%+v", files)
		}
		for i, w := range want {
			f := files[i]
			if f.Filename != w.Filename || f.Status != w.Status || f.Account != w.Account || !strings.Contains(f.Error, w.Error) || (w.Account != "") != (f.ImmutableID == "mine-1") {
				t.Errorf("%+v; want %+v", f, w)
			}
		}
		if got := st.want(t, 200, "GET", "/api/accounts/mine-1", ""); !strings.Contains(got.body, `"photo":{"sha256":"`) {
			t.Error(got.body)
		}
		leaves := string(st.leaves(t))
		if strings.Count(leaves, `"photo":"set"`) != 2 || strings.Count(leaves, `"kind":"account_photo_uploaded"`) != 2 {
			t.Errorf("each photo that was taken leaves one record: %s", leaves)
		}
		if files := st.bulk(t, "POST", archiveOf("mine-1.png", aFace())); len(files) != 1 || files[0].Status != 200 {
			t.Errorf("by POST: %+v", files)
		}
	})
}

func TestP20_ArchivesThatWouldGrowAreRefusedUnopened(t *testing.T) {
	st := lite(t)
	zeros := strings.Repeat("\x00", capture.MaxImage+1)
	small := strings.Repeat("\x00", 1<<20)
	files := st.bulk(t, "PUT", archiveOf("mine-1.png", zeros, "mine-1.jpg", small, "mine-1.jpeg", string(huge())))
	for _, f := range files {
		if f.Status != 400 || f.Error == "" {
			t.Errorf("%+v", f)
		}
	}
	if len(files) != 3 || !strings.Contains(files[0].Error, "larger") || !strings.Contains(files[1].Error, "packed tighter") {
		t.Errorf("%+v", files)
	}
	lying := []byte(archiveOf("mine-1.png", small)) // says that it is small
	at := bytes.LastIndex(lying, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(lying[at+24:], 1000)
	if files := st.bulk(t, "PUT", string(lying)); len(files) != 1 || files[0].Status != 400 || !strings.Contains(files[0].Error, "damaged") {
		t.Errorf("%+v", files)
	}
	if got := st.want(t, 400, "PUT", "/api/account/photos?directory="+st.mine.Directory.ID, repeated("nobody.png", maxPhotos+1)); !strings.Contains(got.body, "more than 10000 files") {
		t.Error(got.body)
	}
	for what, text := range map[string]string{"nothing": "", "no archive": "PK nothing", "half": archiveOf("mine-1.png", aFace())[:60], "no directory": archiveOf("a.png", "x")[50:]} {
		if got := st.want(t, 400, "PUT", "/api/account/photos?directory="+st.mine.Directory.ID, text); !strings.Contains(got.body, "zip") {
			t.Errorf("%s: %s", what, got.body)
		}
	}
	for query, want := range map[string]string{"": "directory: ", "?directory=" + st.foreign.Directory.ID: "directory: ", "?directory=nowhere": "directory: "} {
		if got := st.want(t, 400, "PUT", "/api/account/photos"+query, archiveOf("mine-1.png", aFace())); !strings.Contains(got.body, want) {
			t.Errorf("%s: %s", query, got.body)
		}
	}
	left, err := os.ReadDir(os.TempDir())
	for _, f := range left {
		if strings.HasPrefix(f.Name(), "postern-photos-") {
			t.Errorf("%s was left", f.Name())
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func TestP20_EntriesThatAreNoPhotosCountToo(t *testing.T) {
	st := lite(t)
	for _, name := range []string{"folder/", "__MACOSX/._mine-1.png"} {
		if got := st.want(t, 400, "PUT", "/api/account/photos?directory="+st.mine.Directory.ID, repeated(name, maxEntries+1)); !strings.Contains(got.body, "more than 25000 entries") {
			t.Errorf("%s: %s", name, got.body)
		}
		if files := st.bulk(t, "PUT", repeated(name, maxEntries)); len(files) != 0 {
			t.Errorf("%s: %+v", name, files)
		}
	}
}

// repeated is an archive with n entries of one name, which share their bytes.
func repeated(name string, n int) string {
	one := []byte(archiveOf(name, ""))
	end := bytes.LastIndex(one, []byte("PK\x05\x06"))
	dir := bytes.LastIndex(one, []byte("PK\x01\x02"))
	entry, tail := one[dir:end], bytes.Clone(one[end:])
	binary.LittleEndian.PutUint32(tail[12:], uint32(len(entry)*n))
	return string(one[:dir]) + strings.Repeat(string(entry), n) + string(tail)
}

// huge says that it has 20,000 times 20,000 pixels.
func huge() []byte {
	b := []byte(aFace())
	binary.BigEndian.PutUint32(b[16:], 20_000)
	binary.BigEndian.PutUint32(b[20:], 20_000)
	return b
}

func TestPhotosInEveryFormatThatIsTaken(t *testing.T) {
	st := lite(t)
	m := image.NewPaletted(image.Rect(0, 0, 64, 48), palette.WebSafe)
	var asGIF bytes.Buffer
	if err := gif.Encode(&asGIF, m, nil); err != nil {
		t.Fatal(err)
	}
	for what, body := range map[string]string{"PNG": aFace(), "GIF": asGIF.String()} {
		if got := st.do(t, st.owner, "PUT", "/api/accounts/mine-1/photo", body); got.status != 204 {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	for what, body := range map[string]string{"SVG": `<svg xmlns="http://www.w3.org/2000/svg"/>`, "AVIF": "\x00\x00\x00\x20ftypavif", "huge": string(huge())} {
		if got := st.want(t, 400, "PUT", "/api/accounts/mine-1/photo", body); !strings.Contains(got.body, "SVG and AVIF are not taken") {
			t.Errorf("%s: %s", what, got.body)
		}
	}
}

// What a picture is its bytes say: curl --data-binary and many a library name another type.
func TestAPictureIsTakenUnderWhatProgramsCallIt(t *testing.T) {
	st := lite(t)
	for _, media := range []string{"image/jpg", "application/octet-stream", "application/x-www-form-urlencoded"} {
		for _, at := range []string{"PUT /api/accounts/mine-1/photo", "POST /api/envs/" + st.mine.Env.ID + "/logo"} {
			verb, path, _ := strings.Cut(at, " ")
			got := st.do(t, st.owner, verb, path, aFace(), func(r *http.Request) { r.Header.Set("Content-Type", media) })
			if got.status != 204 {
				t.Errorf("%s as %s: %d %s", at, media, got.status, got.body)
			}
		}
	}
}

func TestTheAnalyzerLooksForOneFaceOnPhotos(t *testing.T) {
	st := lite(t)
	say := func(all ...review.Finding) {
		st.analyzer(t, st.mine, func([]string, map[string][]byte) []review.Finding { return all })
	}
	for _, c := range []struct {
		found  []review.Finding
		status int
		text   string
	}{
		{[]review.Finding{{Name: review.OneFace, Result: capture.Pass}}, 200, ""},
		{[]review.Finding{{Name: review.OneFace, Result: capture.Fail, Reason: review.NoFace}}, 422, "no face"},
		{[]review.Finding{{Name: review.OneFace, Result: capture.Fail, Reason: review.ManyFaces}}, 422, "more than one face"},
		{[]review.Finding{{Name: "another", Result: capture.Pass}}, 422, "not sure"},
		{nil, 503, "analyzer"},
	} {
		say(c.found...)
		files := st.bulk(t, "PUT", archiveOf("mine-1.png", aFace()))
		if len(files) != 1 || files[0].Status != c.status || !strings.Contains(files[0].Error, c.text) {
			t.Errorf("%+v: %+v", c.found, files)
		}
		single := c.status
		if single == 200 {
			single = 204
		}
		if got := st.do(t, st.owner, "PUT", "/api/accounts/mine-1/photo", aFace()); got.status != single || !strings.Contains(got.body, c.text) {
			t.Errorf("%+v: %d %s", c.found, got.status, got.body)
		}
	}
}

func TestAPhotoOfABoundAccountMustBeThatOfTheSelfie(t *testing.T) {
	st := lite(t)
	st.want(t, 204, "PATCH", "/api/accounts/mine-1", `{"subject":"`+st.mine.subject+`"}`)
	var asked []string
	selfie := ""
	st.analyzer(t, st.mine, func(checks []string, images map[string][]byte) []review.Finding {
		asked, selfie = checks, string(images[review.Selfie])
		return []review.Finding{{Name: review.OneFace, Result: capture.Pass}, {Name: review.FaceSelfie, Result: capture.Fail}}
	})
	st.want(t, 204, "PUT", "/api/accounts/mine-1/photo", aFace())
	if len(asked) != 1 || selfie != "" {
		t.Errorf("without a selfie the program is asked for %q", asked)
	}
	st.shareSelfie(t, st.mine)
	if got := st.want(t, 422, "PUT", "/api/accounts/mine-1/photo", aFace()); !strings.Contains(got.body, "verified with a document") || selfie != "a selfie" {
		t.Errorf("%s, with %q", got.body, selfie)
	}
	st.want(t, 204, "DELETE", "/people/"+st.mine.subject+"/properties/picture", "")
	st.want(t, 204, "PUT", "/api/accounts/mine-1/photo", aFace())
}

// shareSelfie is a person of a place who shared a picture.
func (st *stack) shareSelfie(t *testing.T, p place) {
	t.Helper()
	person, _, _ := strings.Cut(p.subject, "@")
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.PutProperty(ctx, p.Env.ID, person, store.Property{Claim: store.PictureClaim, Value: []byte(`"https://id.vendor.test/people/` + p.subject + `/picture"`)}); err != nil {
			return err
		}
		return tx.PutPicture(ctx, p.Env.ID, person, store.PictureSelfie, []byte("a selfie"))
	})
}

func FuzzArchive(f *testing.F) {
	f.Add([]byte(archiveOf("a.png", "content", "b/c.jpg", strings.Repeat("x", 1000))))
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = zipEntries(bytes.NewReader(b), int64(len(b)), func(z zipFile) bool {
			n++
			body, err := z.read(bytes.NewReader(b), int64(len(b)), 1<<16)
			if err == nil && int64(len(body)) != z.unpacked || len(body) > 1<<16 {
				t.Errorf("%d bytes of %d", len(body), z.unpacked)
			}
			return true
		})
		if n*zipEntrySize > len(b) {
			t.Errorf("%d entries in %d bytes", n, len(b))
		}
	})
}
