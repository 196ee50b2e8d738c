package page

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxCookie bounds a cookie's value: browsers drop what is longer than 4,096 bytes
// with its name and attributes.
const maxCookie = 3800

// ParseOrigin makes a Host of a stored origin. ok is false for an origin that nobody
// must be served on: plain HTTP is taken on loopback names only.
func ParseOrigin(origin string) (h Host, ok bool) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || origin != u.Scheme+"://"+u.Host {
		return Host{}, false
	}
	plain := u.Scheme == "http"
	if !plain && u.Scheme != "https" || plain && !loopback(u.Hostname()) {
		return Host{}, false
	}
	return Host{Origin: origin, Plain: plain}, true
}

// loopback reports whether browsers treat plain HTTP to the name as secure.
func loopback(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}

// Name returns the host as people know it: without scheme and port.
func (h Host) Name() string {
	u, err := url.Parse(h.Origin)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// cookieName adds the prefix by which browsers keep a cookie to exactly this host over
// TLS. Over plain HTTP on loopback some browsers refuse the prefix, so it is left out.
func (h Host) cookieName(name string) string {
	if h.Plain {
		return name
	}
	return "__Host-" + name
}

// SetCookie sets a cookie that no script can read. A life of zero ends with the browser.
// It reports whether the value fits.
func (h Host) SetCookie(w http.ResponseWriter, name, value string, life time.Duration, site http.SameSite) bool {
	if len(value) > maxCookie {
		return false
	}
	http.SetCookie(w, &http.Cookie{
		Name: h.cookieName(name), Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: !h.Plain, HttpOnly: true, SameSite: site,
	})
	return true
}

// DropCookie deletes a cookie.
func (h Host) DropCookie(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{Name: h.cookieName(name), Path: "/", MaxAge: -1, Secure: !h.Plain, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// Cookie returns a cookie's value, "" if the browser has none.
func (h Host) Cookie(r *http.Request, name string) string {
	c, err := r.Cookie(h.cookieName(name))
	if err != nil || len(c.Value) > maxCookie {
		return ""
	}
	return c.Value
}

// CookiesWith returns the names, without the prefix of Host, of all cookies whose name
// begins with start, oldest first as browsers send them.
func (h Host) CookiesWith(r *http.Request, start string) []string {
	var names []string
	for _, c := range r.Cookies() {
		name, ok := strings.CutPrefix(c.Name, h.cookieName(""))
		if ok && strings.HasPrefix(name, start) {
			names = append(names, name)
		}
	}
	return names
}
