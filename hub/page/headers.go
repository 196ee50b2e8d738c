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

// Headers sets what every answer has, pages, redirects, files and errors alike. Nothing
// is kept by anybody unless the handler says otherwise afterwards.
func Headers(h http.Header) {
	h.Set("Content-Security-Policy", Policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", permissions)
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Cookie, Accept-Language")
}

// Picture answers with a JPEG that the page shows.
func Picture(w http.ResponseWriter, r *http.Request, jpeg []byte) {
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Content-Disposition", "inline")
	if r.Method != http.MethodHead {
		_, _ = w.Write(jpeg) // a browser that has left needs no answer
	}
}
