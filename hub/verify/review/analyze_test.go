package review_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/hub/webhook"
)

const analyzerSecret = "a secret of thirty-two characters"

// An analyzer is the operator's program: a real HTTPS server that checks signatures.
type analyzer struct {
	results map[string]string
	photo   bool // the account has one
	stuck   bool // answers only when nobody listens any more
	sign    func(at, id, body string) string
	asked   atomic.Int32 // the server's goroutine may answer nobody any more
	images  atomic.Int32
}

func sign(at, id, body string) string {
	mac := hmac.New(sha256.New, []byte(analyzerSecret))
	mac.Write([]byte(at + "." + id + "." + body))
	return hex.EncodeToString(mac.Sum(nil))
}

func (a *analyzer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	id := r.Header.Get("X-Nametag-ID")
	at, mac, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("X-Postern-Signature"), "t="), ",v1=")
	if mac != sign(at, id, string(body)) {
		http.Error(w, "unsigned", http.StatusForbidden)
		return
	}
	var q struct {
		Images []struct{ Data []byte }
		Checks []string
	}
	if json.Unmarshal(body, &q) != nil {
		http.Error(w, "malformed", http.StatusBadRequest)
		return
	}
	a.asked.Add(1)
	a.images.Store(int32(len(q.Images)))
	if a.stuck {
		<-r.Context().Done()
		return
	}
	var checks []map[string]string
	for _, c := range q.Checks {
		result := a.results[c]
		if result == "" {
			result = "pass"
		}
		checks = append(checks, map[string]string{"name": c, "result": result})
	}
	answer, _ := json.Marshal(map[string]any{"checks": checks})
	now := fmt.Sprint(time.Now().Unix())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Postern-Signature", "t="+now+",v1="+a.sign(now, id, string(answer)))
	_, _ = w.Write(answer)
}

// analysed hands a case in at a desk with an analyzer.
func analysed(t *testing.T, a *analyzer, accepts bool) (d *desk, right, pending bool) {
	t.Helper()
	if a.sign == nil {
		a.sign = sign
	}
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	d = newDesk(t, storetest.SQLite(t))
	host, _, err := net.SplitHostPort(server.Listener.Addr().String())
	d.must(err)
	hooks, err := webhook.New(webhook.Config{Store: d.Store, Private: []netip.Prefix{netip.MustParsePrefix(host + "/32")}, Roots: roots})
	d.must(err)
	d.Analyst = hooks
	if a.photo {
		d.photographed()
	}
	if a.stuck {
		d.Patience = time.Second
	}
	d.must(d.configure(review.Settings{Analyzer: &review.Analyzer{URL: server.URL, Secret: analyzerSecret, Accepts: accepts}}))
	v, err := d.Check(t.Context(), d.s, d.open(), review.Submitted)
	d.must(err)
	return d, v.Right, v.Pending
}

func TestAnAnalyzerLowersOrRoutesUnlessItMayAccept(t *testing.T) {
	for _, c := range []struct {
		why            string
		a              *analyzer
		accepts        bool
		right, pending bool
		reviewers      int
	}{
		{"all passed, people decide", &analyzer{}, false, false, true, 1},
		{"all passed, and that is enough", &analyzer{}, true, true, false, 0},
		{"unsure", &analyzer{results: map[string]string{"face_match": "unsure"}}, true, false, true, 1},
		{"a word that nobody knows", &analyzer{results: map[string]string{"face_match": "great"}}, true, false, true, 1},
		{"no answer within its time", &analyzer{stuck: true}, true, false, true, 1},
		{"a fault asks for a second person", &analyzer{results: map[string]string{"liveness": "fail"}}, true, false, true, 2},
		{"an answer that is not signed", &analyzer{sign: func(_, _, _ string) string { return "00" }}, true, false, true, 1},
		{"an answer to another question", &analyzer{sign: func(at, _, body string) string { return sign(at, "other", body) }}, true, false, true, 1},
	} {
		t.Run(c.why, func(t *testing.T) {
			d, right, pending := analysed(t, c.a, c.accepts)
			if right != c.right || pending != c.pending || c.a.asked.Load() != 1 || c.a.images.Load() != 2 {
				t.Errorf("right %v, pending %v; asked %d times with %d pictures", right, pending, c.a.asked.Load(), c.a.images.Load())
			}
			if c.reviewers == 0 {
				return
			}
			id, err := d.Take(t.Context(), d.s.Env, "ann")
			d.must(err)
			got, err := d.Case(t.Context(), d.s.Env, id, "ann")
			if err != nil || got.Reviewers != c.reviewers {
				t.Errorf("%d reviewers, %v", got.Reviewers, err)
			}
		})
	}
}

// The program is asked about the photo of the account, and is enough only if it is the same face.
func TestAnAnalyzerComparesThePhotoOfTheAccount(t *testing.T) {
	for result, want := range map[string]bool{"pass": true, "unsure": false, "fail": false} {
		a := analyzer{results: map[string]string{"face_account": result}, photo: true}
		_, right, pending := analysed(t, &a, true)
		if right != want || pending == want || a.images.Load() != 3 {
			t.Errorf("%s: right %v, pending %v, %d pictures", result, right, pending, a.images.Load())
		}
	}
}

func TestAnalyzersAreReachedOverTLSOnly(t *testing.T) {
	for _, a := range []review.Analyzer{
		{URL: "http://analyzer.example.com", Secret: analyzerSecret}, {URL: "https://", Secret: analyzerSecret},
		{URL: "https://analyzer.example.com", Secret: "short"}, {URL: "file:///etc/passwd", Secret: analyzerSecret},
	} {
		if err := (review.Settings{Analyzer: &a}).Check(); err == nil {
			t.Errorf("%+v was taken", a)
		}
	}
	d := newDesk(t, storetest.SQLite(t))
	hooks, err := webhook.New(webhook.Config{Store: d.Store})
	d.must(err)
	server := httptest.NewUnstartedServer(&analyzer{sign: sign})
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	if _, err := hooks.Exchange(t.Context(), server.URL, analyzerSecret, "id", []byte("{}")); err == nil {
		t.Error("an address of this machine was reached, though nobody allowed it")
	}
}
