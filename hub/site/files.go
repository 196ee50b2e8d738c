package site

import (
	"fmt"
	"io"
	"net/http"
)

// forever is a year, which caches take for "never changes".
const forever = "public, max-age=31536000, immutable"

func (v *visit) file() {
	if !v.site.files.Has(v.r.URL.Path) {
		v.missing()
		return
	}
	v.site.files.ServeHTTP(v.w, v.r)
}

// themePath names the theme by its content.
func (v *visit) themePath() string { return "/theme.css?v=" + v.look.Palette.Accent[1:] }

// theme serves the five colours that belong to the environment.
func (v *visit) theme() {
	p := v.look.Palette
	css := fmt.Sprintf(":root{--accent:%s;--on-accent:%s;--link:%s}\n@media(prefers-color-scheme:dark){:root{--accent:%s;--on-accent:%s;--link:%s}}\n",
		p.Accent, p.OnAccent, p.Link, p.NightAccent, p.OnNight, p.NightLink)
	v.kept("text/css; charset=utf-8", v.r.URL.Query().Get("v") == p.Accent[1:])
	v.body(css)
}

// logo serves a logo of the environment by its sum. Opened by itself, an SVG file can do
// nothing.
func (v *visit) logo() {
	sum := v.r.URL.Query().Get("v")
	for _, l := range v.look.logos {
		if l.Sum == sum {
			v.w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
			v.kept(l.Media, true)
			v.body(string(l.Body))
			return
		}
	}
	v.missing()
}

func (v *visit) robots() {
	v.kept("text/plain; charset=utf-8", false)
	v.body("User-agent: *\nDisallow: /\n")
}

// kept says what kind of file follows, and that a browser may keep it when its address
// names its content.
func (v *visit) kept(mediaType string, exact bool) {
	h := v.w.Header()
	h.Set("Content-Type", mediaType)
	h.Del("Vary")
	if exact {
		h.Set("Cache-Control", forever)
	}
}

// body writes an answer; a browser that has left needs none.
func (v *visit) body(text string) {
	v.w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	if v.r.Method != http.MethodHead {
		_, _ = io.WriteString(v.w, text)
	}
}
