package site

import (
	"embed"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/page"
)

//go:embed templates
var templates embed.FS

// screens holds one template set for each page, by the name of its file.
var screens = page.ParseScreens(templates, "start", "choose", "method", "prove", "ask", "asking", "askwait", "askfailed", "capture", "handover", "confirm", "phone", "begunby", "phonecode", "elsewhere", "locked",
	"ready", "performing", "done", "outcome", "ended", "objection", "message", "fragment", "approve", "approvereplaced", "approver", "approverdone", "walletreturn", "request", "badge", "badgephoto", "badgelook", "away", "signin", "signedin", "signinphoneask", "signinphonecode", "signinphonego",
	"options", "option", "optionpasskey", "optionapp", "optioncodes", "optionaddress", "optionconfirm")

// steps is how many steps a recovery has for the person who goes through it: address,
// choice, code, result.
const steps = 4

// A screen is what a template shows.
type screen struct {
	page.Words
	Title   string
	Company string
	Step    int
	Errors  []fieldError
	Typed   string // what was typed, shown again
	Form    string // token of forms
	Refresh int    // seconds after which a browser without scripts loads again
	Logo    string
	Theme   string
	Home    string
	View    flow.View
	Texts   []string
	Restart bool
	Cancel  bool
	Trial   bool // nothing will be changed

	visit *visit
	startScreen
	chooseScreen
	methodScreen
	requestScreen
	badgeScreen
	captureScreen
	phoneScreen
	proveScreen
	readyScreen
	doneScreen
	outcomeScreen
	objectionScreen
	approveScreen
	awayScreen
	signInScreen
	phoneSignInScreen
	messageScreen
	optionsScreen
}

// A fieldError stands beside its field and in the summary.
type fieldError struct{ Field, Text string }

// screen begins a page in the reader's language.
func (v *visit) screen(view flow.View) *screen {
	l := v.language(view.Language)
	words := page.Words{Language: l, Always: []any{"company", v.look.Name, "site", v.host.Name()}}
	if v.flow == flowEnroll || v.flow == flow.FlowOptions || v.flow == flow.FlowSignIn {
		words.Variant = v.flow
	}
	s := &screen{
		Words: words, Company: v.look.Name, View: view, Trial: view.Trial, visit: v,
		Home: v.address("/", v.keptHints()), Theme: v.themePath(),
	}
	s.Logo = v.look.logo(logoOfPages)
	return s
}

// keptHints is what a new start keeps of the words of this one.
func (v *visit) keptHints() url.Values {
	if v.flow == flowEnroll || v.flow == flow.FlowOptions {
		return url.Values{"flow": {v.flow}}
	}
	return nil
}

// show writes a page.
func (v *visit) show(status int, name string, s *screen) {
	s.Form = v.host.FormToken(v.w, v.r)
	if b := v.render(name, s); b != nil {
		page.Write(v.w, v.r, status, s.Language, b)
	}
}

// render returns a page, or answers that it failed and returns nil.
func (v *visit) render(name string, s *screen) []byte {
	b, err := screens.Render(name, s)
	if err != nil {
		v.site.cfg.Log.Error("a page failed", "page", name, "error", err)
		http.Error(v.w, "this page failed", http.StatusInternalServerError)
		return nil
	}
	return b
}

// Error returns what is wrong with a field, "" if nothing is.
func (s *screen) Error(field string) string {
	i := slices.IndexFunc(s.Errors, func(e fieldError) bool { return e.Field == field })
	if i < 0 {
		return ""
	}
	return s.Errors[i].Text
}

// wrong adds an error to a field.
func (s *screen) wrong(field, text string) { s.Errors = append(s.Errors, fieldError{field, text}) }

// File returns the address of a static file.
func (s *screen) File(name string) string { return s.visit.site.files.Path(name) }

// Path returns the address of a form or page: below the recovery where the page is one
// of a recovery's, else of the site.
func (s *screen) Path(name string) string {
	p := "/" + name
	if s.View.ID != "" {
		p = strings.TrimSuffix("/r/"+s.View.ID+p, "/")
	}
	return s.visit.address(p, nil)
}

// At writes a time for the page's script.
func (s *screen) At(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Act returns the text of a page for the chosen action: "ready.password.button".
func (s *screen) Act(page, what string) string {
	if s.Has(page + "." + string(s.View.Action) + "." + what) {
		return s.T(page + "." + string(s.View.Action) + "." + what)
	}
	return s.T(page + "." + what + "." + string(s.View.Action))
}

// Bar draws how far the person is.
func (s *screen) Bar() []bool {
	bar := make([]bool, steps)
	for i := range min(s.Step, steps) {
		bar[i] = true
	}
	return bar
}

// Steps returns how many there are.
func (s *screen) Steps() int { return steps }

// A languageLink leads to the same page in another language.
type languageLink struct{ Code, Name, Href string }

// Languages returns the languages that this page can also be read in.
func (s *screen) Languages() []languageLink {
	var links []languageLink
	for _, l := range locale.Offered(s.visit.look.Languages) {
		if l == s.Language {
			continue
		}
		q := s.visit.switchQuery()
		q.Set("lang", l.Code())
		links = append(links, languageLink{l.Code(), l.Name(), s.visit.switchPath() + "?" + q.Encode()})
	}
	return links
}
