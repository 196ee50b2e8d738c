package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/party"
)

// A bare provider answers the five requests of a sign-in and does nothing else: it keeps
// no record, and believes whatever it is sent. It compares the hash of the client's secret
// twice and signs one id_token, as whoever serves an application must.
type bare struct {
	origin string
	secret [sha256.Size]byte
	key    *ecdsa.PrivateKey
}

// startBare serves a bare provider in this process, as the product's is.
func startBare(s *stage) *relyingParty {
	ln, err := listen(s.ctx, "127.0.0.1:0")
	s.need(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.need(err)
	r := newRelyingParty(endpoints{}, "bench", rand.Text())
	b := &bare{origin: "http://" + ln.Addr().String(), secret: sha256.Sum256([]byte(r.secret)), key: key}
	at := party.AddressesOf(party.OpenID, b.origin)
	r.endpoints = endpoints{at.PAR, at.Authorize, at.Token}
	r.prove = r.provenAt(b.origin)
	srv := &http.Server{Handler: b.routes(), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	var wg sync.WaitGroup
	s.Cleanup(wg.Wait)
	s.Cleanup(func() { _ = srv.Close() })
	wg.Go(func() { _ = srv.Serve(ln) })
	return r
}

func (b *bare) routes() http.Handler {
	at, mux := party.AddressesOf(party.OpenID, ""), http.NewServeMux()
	mux.HandleFunc("POST "+at.PAR, b.push)
	mux.HandleFunc("GET "+at.Authorize, b.authorize)
	mux.HandleFunc("POST "+provenPath, b.proven)
	mux.HandleFunc("GET /back", b.back)
	mux.HandleFunc("POST "+at.Token, b.token)
	return mux
}

// knows reads the form of a client that proves itself.
func (b *bare) knows(w http.ResponseWriter, r *http.Request) bool {
	_, secret, _ := r.BasicAuth()
	sum := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(sum[:], b.secret[:]) != 1 || r.ParseForm() != nil {
		http.Error(w, "bench: not the client", http.StatusUnauthorized)
		return false
	}
	return true
}

func (b *bare) push(w http.ResponseWriter, r *http.Request) {
	if b.knows(w, r) {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"request_uri":"urn:ietf:params:oauth:request_uri:%s","expires_in":60}`, rand.Text())
	}
}

func (b *bare) authorize(w http.ResponseWriter, _ *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: "bench", Value: rand.Text()})
	w.Header().Set("Location", "https://"+siteHost+oidc.SignInPath+"#"+rand.Text())
	w.WriteHeader(http.StatusSeeOther)
}

func (b *bare) proven(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, b.origin+"/back?code="+rand.Text())
}

func (b *bare) back(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", signInBack+"?"+url.Values{"code": {rand.Text()}, "state": {rand.Text()}, "iss": {b.origin}}.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

func (b *bare) token(w http.ResponseWriter, r *http.Request) {
	if !b.knows(w, r) {
		return
	}
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": b.origin, "aud": "bench", "sub": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"nonce": r.PostFormValue("code")}).SignedString(b.key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":60,"id_token":%q}`, base64.RawURLEncoding.EncodeToString(b.secret[:]), token)
}

// tick is the unit in which Linux counts a process's time (USER_HZ).
const tick = 10 * time.Millisecond

// processorTime is what this process and others have used of the processors until now.
func processorTime(s *stage, others ...int) (sum time.Duration) {
	var own syscall.Rusage
	s.need(syscall.Getrusage(syscall.RUSAGE_SELF, &own))
	sum = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	for _, pid := range others {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		s.need(err)
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		for _, field := range fields[11:13] { // utime and stime of proc(5)
			n, err := strconv.Atoi(string(field))
			s.need(err)
			sum += time.Duration(n) * tick
		}
	}
	return sum
}
