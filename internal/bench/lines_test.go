package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// server answers as a provider may.
func server(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /away", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Path: "/"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2", HttpOnly: true})
		http.Redirect(w, r, "/next?code=c", http.StatusSeeOther)
	})
	mux.HandleFunc("POST /form", func(w http.ResponseWriter, r *http.Request) {
		name, secret, _ := r.BasicAuth()
		_, _ = w.Write([]byte(name + "," + secret + "," + r.PostFormValue("x") + "," + r.Header.Get("Cookie")))
	})
	mux.HandleFunc("POST /pieces", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = w.Write([]byte(strings.Repeat("p", 3000)))
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("POST /last", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestACallerReadsOfAnAnswerWhatASignInNeeds(t *testing.T) {
	at := server(t)
	r := newRelyingParty(endpoints{}, "c", "s+/")
	ask := func(path, body string) string {
		t.Helper()
		got, err := r.send(t.Context(), at+path, r.proof+"Cookie: a=1; b=2\r\n", body)
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	for range 2 { // the second time on the same connection
		to, cookies, err := r.get(t.Context(), at+"/away", "")
		if err != nil || to.String() != at+"/next?code=c" || cookies != "a=1; b=2" {
			t.Errorf("sent to %v with %q: %v", to, cookies, err)
		}
		if got := ask("/form", url.Values{"x": {"ü&"}}.Encode()); got != "c,s%2B%2F,ü&,a=1; b=2" {
			t.Errorf("the server was told %q", got)
		}
		if got := ask("/pieces", ""); got != strings.Repeat("p", 9000) {
			t.Errorf("%d bytes of 9000", len(got))
		}
	}
	if kept := len(r.lines.idle[strings.TrimPrefix(at, "http://")]); kept != 1 {
		t.Errorf("%d connections for one caller", kept)
	}
	ask("/last", "")
	if len(r.lines.idle[strings.TrimPrefix(at, "http://")]) != 0 {
		t.Error("a connection that the server closes is kept")
	}
	if _, _, err := r.get(t.Context(), at+"/nowhere", ""); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a refusal is %v", err)
	}
}
