package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Headers of every delivery. The first two are those of the public documents; the third
// signs the time as well, so that a recorded delivery cannot be sent again later:
// "t=<Unix seconds>,v1=<hex HMAC-SHA256 of t.id.body>", with a further v1 for the former
// secret while that still signs.
const (
	headerID        = "X-Nametag-ID"
	headerSignature = "X-Nametag-Signature"
	headerSigned    = "X-Postern-Signature"
)

// userAgent names the sender. It begins as in the public documents, since receivers look
// at it, and says that it is not the same.
const userAgent = "Nametag-Webhooks/1 Postern/1"

// Bounds of a receiver's answer and of a definition.
const (
	maxAnswer = 64 << 10
	maxURL    = 2048
)

// A sender makes one request at a time to one receiver.
type sender struct {
	https, http *http.Client // by scheme: without encryption only networks of the operator
	guard       *guard       // of https
}

func newSender(c Config) *sender {
	g := &guard{resolver: c.Resolver, private: c.Private}
	return &sender{
		https: newClient(g, c.Roots), guard: g,
		http: newClient(&guard{resolver: c.Resolver, private: c.Private, only: true}, nil),
	}
}

// newClient makes a client that follows no redirect, asks no proxy and keeps no
// connection, which would outlive the check of its address.
func newClient(g *guard, roots *x509.CertPool) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil, DialContext: g.dial, DisableKeepAlives: true,
			TLSHandshakeTimeout: dialTimeout, MaxResponseHeaderBytes: maxAnswer,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		},
	}
}

// A post is one request.
type post struct {
	url, authorization string
	id                 string
	secret             string
	former             string // signs too; "": none
	body               []byte
}

// An answer is what came back.
type answer struct {
	status int
	json   bool
	header http.Header
	body   []byte
	signed string // by the receiver, where it signs
}

// send makes one request and reads at most maxAnswer bytes of the answer.
func (s *sender) send(ctx context.Context, p post, now time.Time) (answer, error) {
	u, err := CheckURL(p.url)
	if err != nil {
		return answer{}, err
	}
	client := s.https
	if u.Scheme == "http" {
		client = s.http
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, strings.NewReader(string(p.body)))
	if err != nil {
		return answer{}, err
	}
	req.Header = p.headers(now)
	res, err := client.Do(req)
	if err != nil {
		return answer{}, hideURL(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("webhook: the answer is longer than %d bytes", maxAnswer)
	}
	isJSON := strings.HasPrefix(strings.ToLower(res.Header.Get("Content-Type")), "application/json")
	return answer{res.StatusCode, isJSON, res.Header, body, res.Header.Get(headerSigned)}, err
}

// hideURL drops the address, which may hold a token in its query.
func hideURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

var errPlain = errors.New("webhook: the address must begin with https://; http:// is for networks that the operator allowed with allow_private_webhooks")

// CheckURL reads the address of a webhook. It refuses what is no address of a service;
// whether webhooks may reach it shows when it is resolved.
func CheckURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxURL || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("webhook: this is not an address like https://example.com/hook")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errPlain
	case u.User != nil || u.Fragment != "":
		return nil, errors.New("webhook: the address may hold neither a password nor a fragment; use authorization_header")
	}
	return u, nil
}

func (p post) headers(now time.Time) http.Header {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	h.Set("User-Agent", userAgent)
	h.Set(headerID, p.id)
	h.Set(headerSignature, sign(p.secret, p.body))
	t := strconv.FormatInt(now.Unix(), 10)
	dated := []byte(t + "." + p.id + "." + string(p.body))
	signed := "t=" + t + ",v1=" + sign(p.secret, dated)
	if p.former != "" {
		signed += ",v1=" + sign(p.former, dated)
	}
	h.Set(headerSigned, signed)
	if p.authorization != "" {
		h.Set("Authorization", p.authorization)
	}
	return h
}

// sign is the hex HMAC-SHA256 under the whole text of the secret, as the published
// verification command does it.
func sign(secret string, b []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(b)
	return hex.EncodeToString(mac.Sum(nil))
}

// allAllowed reports whether the prefixes are usable.
func allAllowed(all []netip.Prefix) error {
	for _, p := range all {
		if !p.IsValid() {
			return errors.New("webhook: a private network is not of the form 10.0.0.0/8")
		}
	}
	return nil
}
