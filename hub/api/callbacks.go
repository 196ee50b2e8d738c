package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// maxURL bounds an address, in bytes.
const maxURL = 2000

// maxCallbacks bounds the callback addresses of an environment: every authorization
// reads all of them.
const maxCallbacks = 100

// checkAddresses refuses addresses of an environment that no browser may be sent to.
func checkAddresses(e store.Environment) error {
	if len(e.CallbackURLs) > maxCallbacks {
		return bad(fmt.Sprintf("callback_urls: at most %d", maxCallbacks))
	}
	for i, text := range e.CallbackURLs {
		if !party.IsCallback(text) {
			return bad(fmt.Sprintf("callback_urls: %.80q: want an https address without fragment or password, exactly as it will be asked for; http only at localhost, 127.0.0.1 and [::1] (RFC 8252)", text))
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
