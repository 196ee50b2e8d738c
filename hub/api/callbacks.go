package api

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/store"
)

// maxCallbacks bounds the callback addresses of an environment: every authorization
// reads all of them.
const maxCallbacks = 100

// checkAddresses refuses addresses of an environment that no browser may be sent to.
func checkAddresses(e store.Environment) error {
	if len(e.CallbackURLs) > maxCallbacks {
		return bad(fmt.Sprintf("callback_urls: at most %d", maxCallbacks))
	}
	for i, text := range e.CallbackURLs {
		if !isCallback(text) {
			return bad(fmt.Sprintf("callback_urls: %.80q: want an https address without fragment or password, exactly as it will be asked for; http only at 127.0.0.1 and [::1] (RFC 8252)", text))
		}
		if slices.Contains(e.CallbackURLs[:i], text) {
			return bad(fmt.Sprintf("callback_urls: %.80q stands there twice", text))
		}
	}
	u := plainURL(e.TermsOfServiceURL)
	if e.TermsOfServiceURL != "" && (u == nil || u.Scheme != "https") {
		return bad("terms_of_service_url: want an https address, or an empty text for none")
	}
	return nil
}

// isCallback reports whether a person may be sent back there: by https, or by http to
// the loopback interface, which RFC 8252, section 8.3, wants as an address and not as
// the name localhost. A fragment would swallow the answer (RFC 6749, section 3.1.2).
func isCallback(text string) bool {
	u := plainURL(text)
	if u == nil {
		return false
	}
	if u.Scheme == "https" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" && err == nil && ip.IsLoopback() && ip.Zone() == ""
}

// plainURL reads an absolute address whose text has one reading only, whoever compares
// it; nil for anything else.
func plainURL(text string) *url.URL {
	if len(text) > maxURL || strings.ContainsAny(text, "#\\*") || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" || u.Host != strings.ToLower(u.Host) {
		return nil
	}
	return u
}
