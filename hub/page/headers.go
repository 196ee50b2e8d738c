// Package page is what the recovery site and the console have in common: the headers of
// every answer, forms that only our own pages can send, cookies, words in the reader's
// language, the stylesheet. It knows no page, no recovery and no administrator.
package page

import (
	"net/http"
	"strings"
)

// Policy is the content security policy of every page. Nothing is loaded from
// elsewhere, nothing inline runs, no script makes another, nobody frames us.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// permissions switches off what no page of ours uses.
const permissions = "accelerometer=(), bluetooth=(), browsing-topics=(), camera=(), clipboard-read=(), digital-credentials-get=(), display-capture=(), " +
	"geolocation=(), gyroscope=(), hid=(), identity-credentials-get=(), microphone=(), midi=(), payment=(), " +
	"publickey-credentials-create=(), publickey-credentials-get=(), serial=(), usb=(), xr-spatial-tracking=()"

// Allow lets this page use one of the browser's features that are switched off elsewhere.
func Allow(h http.Header, feature string) {
	h.Set("Permissions-Policy", strings.Replace(h.Get("Permissions-Policy"), feature+"=()", feature+"=(self)", 1))
}

// AllowWASM lets this page's scripts compile WebAssembly, and nothing else.
func AllowWASM(h http.Header) {
	h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), "script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'", 1))
}

// A header is one line of an answer; its name is in canonical form.
type header struct{ name, value string }

// common are those of every answer that a browser may show.
var common = []header{
	{"Content-Security-Policy", Policy},
	{"Referrer-Policy", "no-referrer"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"}, // for browsers that do not know frame-ancestors
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", permissions},
	{"X-Robots-Tag", "noindex, nofollow"},
	{"Cache-Control", "no-store"},
	{"Vary", "Cookie, Accept-Language"},
}

// data are those of an answer that servers read.
var data = []header{
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"Cache-Control", "no-store"},
}

// Headers sets what every answer has, pages, redirects, files and errors alike. Nothing
// is kept by anybody unless the handler says otherwise afterwards.
func Headers(h http.Header) { set(h, common) }

// DataHeaders sets what is left of that where other servers ask, with credentials that no
// browser adds by itself: nothing that only a page, or whoever frames or links it, minds.
func DataHeaders(h http.Header) { set(h, data) }

// set sets headers, all with one allocation: of a small answer that is a part of the work.
func set(h http.Header, list []header) {
	values := make([]string, len(list))
	for i, l := range list {
		values[i] = l.value
		h[l.name] = values[i : i+1 : i+1] // whoever adds to one does not reach the next
	}
}

// Picture answers with a JPEG that the page shows.
func Picture(w http.ResponseWriter, r *http.Request, jpeg []byte) {
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Content-Disposition", "inline")
	if r.Method != http.MethodHead {
		_, _ = w.Write(jpeg) // a browser that has left needs no answer
	}
}
