package api

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// isPlainPath reports whether the path has one reading only: no empty, dot or
// parameter segments, in clear or escaped. What fails here never reaches the router.
func isPlainPath(r *http.Request) bool {
	escaped := r.URL.EscapedPath()
	if !strings.HasPrefix(escaped, "/") || strings.ContainsAny(escaped, ";\\") {
		return false
	}
	for _, segment := range strings.Split(escaped[1:], "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "" || !utf8.ValidString(plain) || plain == "." || plain == ".." || strings.ContainsFunc(plain, isControl) {
			return false
		}
	}
	return true
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// fits reports whether the request spells the fixed parts of the row's path exactly:
// ServeMux also takes escaped letters for plain ones.
func (row row) fits(r *http.Request) bool {
	want, got := strings.Split(row.path(), "/"), strings.Split(r.URL.EscapedPath(), "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !strings.HasPrefix(want[i], "{") && want[i] != got[i] {
			return false
		}
	}
	return true
}
