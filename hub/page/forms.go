package page

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
)

// Errors of Check. A foreign form did nothing and is not answered with a new one.
var (
	ErrForeign = errors.New("page: the form was sent from another site")
	ErrForm    = errors.New("page: the form's token is missing or old")
	ErrBody    = errors.New("page: the form is too large or malformed")
)

// maxForm bounds the body of a form: the longest one carries hints and a key, about
// 6 KB.
const maxForm = 16 << 10

// FormField is the name of the hidden field that carries the token.
const FormField = "form"

// formCookie names the cookie that tokens are made from.
const formCookie = "form"

// formLabel begins the hash of every token.
const formLabel = "postern/form/v1"

// A Host is how the browser reaches us, from the stored record and never from the
// request's own headers.
type Host struct {
	Origin string // "https://recover.example.com", without a slash at the end
	Plain  bool   // served over plain HTTP on loopback, for demonstrations
}

// FormToken returns the token that this browser's forms carry, and sets the cookie that
// it is made from where the browser has none yet. It changes nothing on the server.
func (h Host) FormToken(w http.ResponseWriter, r *http.Request) string {
	c, err := r.Cookie(h.cookieName(formCookie))
	if err == nil && len(c.Value) >= minFormCookie && len(c.Value) <= 2*minFormCookie {
		return formToken(c.Value)
	}
	value := rand.Text()
	h.SetCookie(w, formCookie, value, 0, http.SameSiteLaxMode)
	return formToken(value)
}

// minFormCookie is the length of rand.Text: at least 128 random bits.
const minFormCookie = 26

func formToken(cookie string) string {
	m := hmac.New(sha256.New, []byte(cookie))
	m.Write([]byte(formLabel))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// Check reads the form of a POST and reports whether one of our own pages sent it: the
// Origin header, where the browser sends one, is ours, Sec-Fetch-Site says the same, and
// the token fits this browser's cookie. Every state-changing handler calls it first.
//
// Our Referrer-Policy makes browsers send "Origin: null" from our own forms (Fetch
// standard, "append a request Origin header"), so that word says nothing; where a
// browser too old for Sec-Fetch-Site sends it, the token alone decides.
func (h Host) Check(w http.ResponseWriter, r *http.Request) error { return h.CheckLarge(w, r, maxForm) }

// CheckLarge is Check for a form of at most size bytes.
func (h Host) CheckLarge(w http.ResponseWriter, r *http.Request, size int64) error {
	return h.check(w, r, size, r.ParseForm)
}

// CheckFiles is Check for a form of at most size bytes that brings files. They stay in
// memory: nothing of them reaches the disk.
func (h Host) CheckFiles(w http.ResponseWriter, r *http.Request, size int64) error {
	return h.check(w, r, size, func() error { return r.ParseMultipartForm(size) })
}

func (h Host) check(w http.ResponseWriter, r *http.Request, size int64, parse func() error) error {
	if o := r.Header.Get("Origin"); o != "" && o != "null" && o != h.Origin {
		return ErrForeign
	}
	if s := r.Header.Get("Sec-Fetch-Site"); s != "" && s != "same-origin" {
		return ErrForeign
	}
	r.Body = http.MaxBytesReader(w, r.Body, size)
	if err := parse(); err != nil {
		return ErrBody
	}
	c, err := r.Cookie(h.cookieName(formCookie))
	if err != nil || len(c.Value) < minFormCookie {
		return ErrForm
	}
	if got := r.PostForm[FormField]; len(got) != 1 || subtle.ConstantTimeCompare([]byte(got[0]), []byte(formToken(c.Value))) != 1 {
		return ErrForm
	}
	return nil
}
