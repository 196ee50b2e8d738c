package oidc

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/brand"
	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

//go:embed templates
var templates embed.FS

//go:embed static
var static embed.FS

// screens are the pages of the browser that began.
var screens = page.ParseScreens(templates, "picture", "typecode", "goeson")

// filesPath begins the addresses of scripts and stylesheets, lookPath those of colours.
const (
	filesPath = "/oauth2/static/"
	lookPath  = "/oauth2/look/"
)

// noScriptReload is after how many seconds a browser without scripts asks again.
const noScriptReload = 5

// A screen is what a template shows.
type screen struct {
	page.Words
	Title   string
	Company string
	Form    string // token of forms
	Refresh int    // seconds after which a browser without scripts loads again
	Theme   string
	Framed  bool
	Script  string
	Wrong   string // what was wrong with the code

	Here   string // the address that leads on in this browser
	Link   string // the address that a phone reads
	QR     string
	QRSize int
	Own    ownTexts

	files  *page.Files
	waiter *waiter
}

// File returns the address of a static file.
func (s *screen) File(name string) string { return s.files.Path(name) }

// Poll is what the page's script asks, Page the page itself, At how it stands.
func (s *screen) Poll() string { return s.waiter.address(pollPath, "/poll") }

// Page returns the path of the page that waits.
func (s *screen) Page() string { return s.waiter.address(waitPath, "") }

// At returns the state of the exchange, by which the page sees that it moved on.
func (s *screen) At() string { return s.waiter.x.State }

// Path returns the address of one of the page's forms.
func (s *screen) Path(form string) string { return s.waiter.address(waitPath, "/"+form) }

// showWaiting shows the page for the state of an exchange; wrong is the key of what was
// wrong, if anything was.
func (p *Provider) showWaiting(a *waiter, status int, wrong string) {
	l := locale.NewChoice(a.env.Microsite.Languages).For(a.r.Header.Get("Accept-Language"))
	company := a.env.PublicName
	if company == "" {
		company = a.env.Name
	}
	s := &screen{
		Words:   page.Words{Language: l, Always: []any{"company", company, "client", a.c.Settings.Name, "site", a.host.Name()}},
		Company: company, Refresh: noScriptReload, Framed: a.x.Framed, Theme: lookOf(a), Script: p.files.Path("authorize.js"), files: p.files, waiter: a,
	}
	name, err := "goeson", error(nil)
	switch a.x.State {
	case stateAsked:
		name, err = "picture", p.drawTicket(a, s)
	case stateClaimed:
		name, s.Refresh = "typecode", 0 // whoever types is not interrupted
		if wrong != "" {
			s.Wrong = s.T(wrong)
		}
	}
	s.Title = s.T("authorize." + name + ".title")
	if !a.inQuery {
		s.Form = a.host.FormToken(a.w, a.r)
	}
	var b []byte
	if err == nil {
		b, err = screens.Render(name, s)
	}
	if err != nil {
		p.cfg.Log.ErrorContext(a.r.Context(), "a page failed", "page", name, "error", err)
		http.Error(a.w, "this page failed", http.StatusInternalServerError)
		return
	}
	admitForms(a.w.Header(), a.c)
	if a.x.Framed {
		admitFrames(a.w.Header(), a.c)
	}
	page.Write(a.w, a.r, status, l, b)
}

// drawTicket puts the way on into the page: for this browser, and as a picture for a phone.
func (p *Provider) drawTicket(a *waiter, s *screen) (err error) {
	ticket := ticketOf(a.session, a.x.ID, a.x.Turn)
	s.Here, s.Link = a.site+SignInPath+"#"+ticket, a.site+SignInPath+"#"+phoneMark+ticket
	if a.x.Framed {
		s.Here = a.address(waitPath, "/here")
	}
	if s.QR, s.QRSize, err = p.cfg.Picture.Draw(s.Link); err == nil {
		s.Own, err = p.textsFor(a, s.Language)
	}
	return err
}

// ownTexts are the organisation's own words around the picture, from the template that
// the sign-in goes by; "" where it has none, or the template is gone.
type ownTexts struct {
	Headline string `json:"qr_headline"`
	Text     string `json:"qr_custom_text"`
	Expires  string `json:"expiration_text"`
}

// placeOfTTL stands in an expiration_text for the time that is left.
const placeOfTTL = "{{.TTL}}"

// textsFor reads the words for a page in a language.
func (p *Provider) textsFor(a *waiter, l *locale.Language) (t ownTexts, err error) {
	if a.x.Plain == nil || a.x.Plain.Template == "" {
		return t, nil
	}
	all, err := store.Get(a.r.Context(), p.cfg.Store, func(tx *store.Tx) ([]store.Template, error) { return tx.Templates(a.r.Context(), a.x.Env) })
	i := slices.IndexFunc(all, func(row store.Template) bool { return row.Name == a.x.Plain.Template })
	if err != nil || i < 0 {
		return t, err
	}
	err = json.Unmarshal(all[i].Body, &t)
	t.Expires = strings.ReplaceAll(t.Expires, placeOfTTL, l.Duration(a.x.ExpiresAt.Sub(p.cfg.Now())))
	return t, err
}

// admitForms lets forms of a page lead to the client besides.
func admitForms(h http.Header, c party.Party) {
	h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), "form-action 'self'", "form-action 'self' "+onwards(c), 1))
}

// admitFrames lets the client's own pages frame one that was begun for a frame: those of
// the addresses that an administrator allowed, and nobody else's (P24).
func admitFrames(h http.Header, c party.Party) {
	own := strings.Join(hosts(c.RedirectURIs()), " ")
	h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), "frame-ancestors 'none'", "frame-ancestors "+own, 1))
	h.Del("X-Frame-Options") // older than frame-ancestors, and cannot name anybody
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

// colour is how a colour is written in an address.
var colour = regexp.MustCompile(`^[0-9a-f]{6}$`)

// lookOf is the address of the colours of a page.
func lookOf(a *waiter) string {
	accent := a.env.Microsite.Accent
	if a.x.Theme != "" {
		accent = a.x.Theme
	}
	palette, err := brand.Derive(accent)
	if err != nil {
		palette, _ = brand.Derive(brand.Default)
	}
	return lookPath + palette.Accent[1:]
}

// look serves the colours that are derived from one.
func (p *Provider) look(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("accent")
	palette, err := brand.Derive("#" + name)
	if !colour.MatchString(name) || err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Del("Vary")
	_, _ = fmt.Fprintf(w, ":root{--accent:%s;--on-accent:%s;--link:%s}\n@media(prefers-color-scheme:dark){:root{--accent:%s;--on-accent:%s;--link:%s}}\n",
		palette.Accent, palette.OnAccent, palette.Link, palette.NightAccent, palette.OnNight, palette.NightLink)
}

// themeOf reads the colour that a client wishes for its frame, with or without a "#". One
// that cannot be read, or on which no text can be, is as good as none.
func themeOf(q url.Values) string {
	name := "#" + strings.ToLower(strings.TrimPrefix(q.Get("theme_color"), "#"))
	palette, err := brand.Derive(name)
	if err != nil {
		return ""
	}
	return palette.Accent
}
