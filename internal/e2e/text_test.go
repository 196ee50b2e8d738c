package e2e

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"
)

// texts is a service for text messages, to which a hub gives them over HTTP.
type texts struct {
	*httptest.Server
	mu   sync.Mutex
	sent map[string][]string // by number
}

func newTexts(t *testing.T) *texts {
	t.Helper()
	s := &texts{sent: map[string][]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		to := r.PostFormValue("to")
		s.sent[to] = append(s.sent[to], r.PostFormValue("text"))
	}))
	t.Cleanup(s.Close)
	return s
}

// code waits for the message to a number that comes after so many others, and returns
// the code in it.
func (s *texts) code(t *testing.T, number string, after int) (code string) {
	t.Helper()
	poll(t, "a text message", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.sent[number]) > after {
			code = regexp.MustCompile(`\b\d{8}\b`).FindString(s.sent[number][after])
		}
		return code != ""
	})
	return code
}

// byText adds a phone under my recovery options, which are shut before the proof, and
// recovers with two codes that go there: one to begin, one for this one reset. The wait
// of 72 hours is tested where the clock can be moved.
func (w *walk) byText() {
	number := map[string]string{"phone": "+4915112345671", "desk": "+4915112345672"}[w.size]
	w.opens(walletOf(w.t, w.m.authority, w.given, w.family))
	w.b.Click("form:has([value=phone]) button")
	w.b.Wait(`document.querySelector('#address') && ` + ready)
	w.sees("options-phone")
	w.b.Type("#address", "030 1234")
	w.b.Click("main form button")
	w.b.Wait(`document.querySelector('#address-error') && ` + ready)
	w.sees("options-phone-wrong")
	w.b.Eval(`document.querySelector('#address').value = ''`)
	w.b.Type("#address", number[:3]+" "+number[3:])
	w.b.Click("main form button")
	w.b.Wait(asksForACode)
	w.sees("options-phone-code")
	w.b.Type("#code", w.m.texts.code(w.t, number, 0))
	w.b.Click("main form button")
	w.b.WaitText("Recovery phone")
	w.b.Wait(ready)
	w.sees("options-phone-added")
	w.goes("password", "sms_code")
	first := w.m.texts.code(w.t, number, 1)
	w.b.Wait(asksForACode)
	w.sees("text")
	w.b.Type("#code", first)
	w.b.Click("main form button")
	w.chooses("sms_confirm")
	second := w.m.texts.code(w.t, number, 2)
	w.b.Wait(asksForACode)
	w.sees("text-second")
	w.b.Type("#code", first)
	w.b.Click("main form button")
	w.b.Wait(`document.querySelector('#code-error') && ` + ready)
	w.b.Eval(`document.querySelector('#code').value = ''`)
	w.b.Type("#code", second)
	w.b.Click("main form button")
	w.gets()
}
