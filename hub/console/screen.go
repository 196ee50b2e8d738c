package console

import (
	"crypto/rand"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/tunnel"
	"github.com/postern-id/postern/hub/verify/manual"
	"github.com/postern-id/postern/hub/verify/review"
)

//go:embed templates
var templates embed.FS

// screens holds one template set for each page, by the name of its file.
var screens = page.ParseScreens(templates, "signin", "join", "staff", "status", "accounts", "examine", "evaluation", "reviews", "review", "badgecase", "manual", "manualkey", "mine", "link", "message", "settings", "ways", "rule", "trust", "providers", "provider", "audit", "webhooks", "hook", "delivery", "links", "clients", "client", "collector", "terminal", "terminalkey", "change", "changekey", "orders", "orderkey")

// A screen is what a template shows.
type screen struct {
	page.Words
	Title     string
	Form      string
	Texts     []string
	Incident  string
	SignedIn  bool
	Status    *status
	Found     *found
	Examined  *examined
	Evaluated *evaluated
	Keys      *keys
	Members   *members
	Settings  *settingsPage
	ByHand    *byHand
	Terminal  *terminalPage
	Change    *changePage
	Orders    *ordersPage
	Restart   string
	reviewScreen

	visit *visit
}

// Wide reports whether the page takes the whole width: it has a table, or many cards.
func (s *screen) Wide() bool { return s.Status != nil || s.Settings != nil && s.Settings.Hooks != nil }

func (v *visit) screen() *screen { return &screen{Words: v.words, visit: v} }

// show writes a page.
func (v *visit) show(status int, name string, s *screen) {
	s.Form = v.host.FormToken(v.w, v.r)
	b, err := screens.Render(name, s)
	if err != nil {
		v.console.cfg.Log.Error("a page failed", "page", name, "error", err)
		http.Error(v.w, "this page failed", http.StatusInternalServerError)
		return
	}
	page.Write(v.w, v.r, status, s.Language, b)
}

// message shows a page that only says something.
func (v *visit) message(status int, title string, texts ...string) {
	s := v.screen()
	s.Title = s.T(title)
	for _, t := range texts {
		s.Texts = append(s.Texts, s.T(t))
	}
	v.show(status, "message", s)
}

// Errors of the console's own.
var (
	errNoPage = errors.New("console: no such page")
	errMethod = errors.New("console: method not allowed")
	errRole   = errors.New("console: the role does not reach this")
)

// failures maps errors to answers.
var failures = []struct {
	is     error
	status int
	words  string
}{
	{store.ErrElsewhere, http.StatusServiceUnavailable, "error.unavailable"},
	{errNoPage, http.StatusNotFound, "error.notfound"},
	{store.ErrNotFound, http.StatusNotFound, "error.notfound"},
	{errRole, http.StatusForbidden, "console.role"},
	{staff.ErrRole, http.StatusForbidden, "console.role"},
	{errMethod, http.StatusMethodNotAllowed, "error.method"},
	{page.ErrForm, http.StatusForbidden, "error.form"},
	{page.ErrForeign, http.StatusForbidden, "error.form"},
	{page.ErrBody, http.StatusRequestEntityTooLarge, "error.form"},
	{staff.ErrLast, http.StatusConflict, "console.last"},
	{manual.ErrMayNot, http.StatusForbidden, "manual.refused"},
	{manual.ErrGone, http.StatusConflict, "manual.gone"},
	{manual.ErrTooMany, http.StatusForbidden, "manual.many"},
	{review.ErrOther, http.StatusConflict, "review.gone"},
	{review.ErrState, http.StatusConflict, "review.gone"},
	{tunnel.ErrFingerprint, http.StatusConflict, "console.error.fingerprint"},
	{store.ErrUnavailable, http.StatusServiceUnavailable, "error.unavailable"},
}

// retryAfter is when a program should ask again, in seconds.
const retryAfter = "60"

// fail is the only place where an error becomes something that a person sees.
func (v *visit) fail(err error) {
	status, words := http.StatusInternalServerError, "error"
	for _, f := range failures {
		if errors.Is(err, f.is) {
			status, words = f.status, f.words
			break
		}
	}
	s := v.screen()
	if status >= http.StatusInternalServerError {
		s.Incident = rand.Text()[:8]
		v.console.cfg.Log.Error("a page could not be served", "incident", s.Incident, "path", v.r.URL.Path, "error", err)
	}
	if status == http.StatusServiceUnavailable {
		v.w.Header().Set("Retry-After", retryAfter)
	}
	s.Title, s.Texts, s.Restart = s.T(words+".title"), []string{s.T(words + ".text")}, root
	v.show(status, "message", s)
}

// EvaluationAt returns the address of the page of a directory's evaluation with other
// parameters: names and values in turn.
func (s *screen) EvaluationAt(more ...string) string {
	return s.Evaluated.at(s.visit, evaluationPath, more...)
}

// EvaluationOf returns the address of the page of a directory's evaluation.
func (s *screen) EvaluationOf(env, directory string) string {
	return evaluated{Env: env, Directory: store.Directory{ID: directory}}.at(s.visit, evaluationPath)
}

// EvaluationCSV returns the address of the report as a file.
func (s *screen) EvaluationCSV() string {
	return s.Evaluated.at(s.visit, evaluationPath+"/csv", "reason", s.Evaluated.Reason)
}

// Administers reports whether the reader may see who works here.
func (s *screen) Administers() bool { return staff.AtLeast(s.visit.role, staff.Admin) }

// Examines reports whether the reader may ask agents how they are.
func (s *screen) Examines() bool { return staff.AtLeast(s.visit.role, staff.User) }

// Verifies reports whether the reader may verify people by hand.
func (s *screen) Verifies() bool {
	return s.visit.member.ID != "" && staff.AtLeast(s.visit.role, staff.User)
}

// Policy says what a choice is for, in words.
func (s *screen) Policy(c manual.Choice) string {
	ways := make([]string, len(c.Methods))
	for i, m := range c.Methods {
		ways[i] = s.T("way." + string(m))
	}
	return s.T("manual.choice", "action", s.T("action."+string(c.Action)), "ways", strings.Join(ways, " + "))
}

// Done is what a recovery that waits has proven, and what it asks for now.
func (*screen) Done(r manual.Request) manual.Choice {
	return manual.Choice{Action: r.Action, Methods: append(slices.Clone(policy.Combination(r.Proven)), policy.Manual)}
}

// Device says what browser somebody uses.
func (s *screen) Device(userAgent string) string { return s.Language.Device(userAgent) }

// WholeMinutes writes a time in minutes.
func (*screen) WholeMinutes(d time.Duration) int { return int(d / time.Minute) }

// File returns the address of a static file.
func (s *screen) File(name string) string { return s.visit.console.files.Path(name) }

// Path returns the address of a form, in the language of this page.
func (s *screen) Path(name string) string {
	if name == "" {
		return s.visit.address(root)
	}
	return s.visit.address(root + "/" + name)
}

// Here returns the address of the page itself, or for one that answers a form, where it
// came from.
func (s *screen) Here() string {
	if s.Found != nil || s.Evaluated != nil {
		return root
	}
	return s.visit.r.URL.Path
}

// Again is where the form of this page is sent to.
func (s *screen) Again() string { return s.visit.address(s.Here()) }

// Languages returns the languages that this page can also be read in.
func (s *screen) Languages() []*locale.Language {
	var others []*locale.Language
	for _, l := range locale.Languages() {
		if l != s.Language {
			others = append(others, l)
		}
	}
	return others
}

// Ago says how long something is past.
func (s *screen) Ago(t time.Time) template.HTML {
	return s.H("console.ago", "ago", s.visit.console.cfg.Store.Now().Sub(t))
}

// Skew says how far a clock is off.
func (s *screen) Skew(d time.Duration) string {
	if d < 0 {
		return s.T("console.clock.slow", "skew", -d)
	}
	return s.T("console.clock.fast", "skew", d)
}

// Minutes writes an agent's delay, rounded up.
func (s *screen) Minutes(seconds int64) int { return int((seconds + 59) / 60) }

// Rate returns how many accounts a second a pass lists.
func (s *screen) Rate(d served) int { return int(d.Sync.Rate()) }
