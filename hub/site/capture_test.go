package site

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
)

func TestEverythingAboutCaptureHasWordsInEveryLanguage(t *testing.T) {
	var keys []string
	for _, p := range review.Prompts {
		keys = append(keys, "capture.prompt."+p)
	}
	for _, c := range review.Checklist {
		keys = append(keys, "review.check."+c)
	}
	for _, k := range review.Kinds {
		keys = append(keys, "capture."+k, "review.image."+k)
	}
	for _, c := range []capture.Check{capture.MRZDigits, capture.MRZBarcode, capture.MRZAccount, capture.BarcodeAccount, capture.NotExpired, capture.BirthDates} {
		keys = append(keys, "review.hint."+string(c))
	}
	for _, r := range []capture.Result{capture.Pass, capture.Fail, capture.Unsure} {
		keys = append(keys, "review.result."+string(r))
	}
	for _, l := range locale.Languages() {
		for _, key := range keys {
			if !(page.Words{Language: l}).Has(key) {
				t.Errorf("%s lacks %s", l.Code(), key)
			}
		}
	}
}

// unread fails when anything of it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the files of a stranger were read")
	return 0, io.ErrUnexpectedEOF
}

// Nobody makes the site take megabytes without a recovery that asks for pictures.
func TestP21_FilesOfStrangersAreNotRead(t *testing.T) {
	g := newRig(t)
	for _, cookie := range []string{"", "recovery.AAAAAAAAAAAAAAAAAAAAAA=guess"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/r/AAAAAAAAAAAAAAAAAAAAAA/capture", unread{t})
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		w := httptest.NewRecorder()
		g.serve.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("%q: %d %.200s", cookie, w.Code, strings.TrimSpace(w.Body.String()))
		}
	}
}
