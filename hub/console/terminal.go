package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/terminal"
)

// Terminals signs command lines in. Errors are those of package terminal.
type Terminals interface {
	Approve(ctx context.Context, a terminal.Approval) error
}

// terminalPath is the page to which a command line sends somebody. It stands outside of
// the console's own addresses, as published.
const terminalPath = "/cli/login/{key}"

// Lives of the key that a command line gets, in days.
var terminalDays = []int{1, 7, 30}

// A terminalPage shows what is about to be allowed.
type terminalPage struct {
	Key, Code, Role string
	Days            int
	Roles           []string
	Lives           []int
	Wrong           string
	Post            string // where the form goes
	Done            bool
}

// terminalForm is what the form says, with the defaults of the page.
func (v *visit) terminalForm() *terminalPage {
	p := &terminalPage{Key: v.r.PathValue("key"), Code: v.field("code"), Role: v.field("role"), Lives: terminalDays}
	p.Post = v.address("/cli/login/" + p.Key)
	for _, r := range store.Roles {
		if staff.AtLeast(v.role, r) {
			p.Roles = append(p.Roles, r)
		}
	}
	p.Days, _ = strconv.Atoi(v.field("days")) // checked below
	if !slices.Contains(terminalDays, p.Days) {
		p.Days = terminalDays[0]
	}
	if !slices.Contains(p.Roles, p.Role) {
		p.Role = p.Roles[len(p.Roles)-1]
	}
	return p
}

// terminal shows the form.
func (v *visit) terminal() {
	if v.mayApprove() {
		v.showTerminal(http.StatusOK, v.terminalForm())
	}
}

// mayApprove reports whether whoever is signed in may sign a terminal in: with a passkey,
// and after the time in which somebody new decides nothing. It says so if not.
func (v *visit) mayApprove() bool {
	switch {
	case !terminal.Valid(v.r.PathValue("key")):
		v.fail(errNoPage)
	case v.member.ID == "":
		v.message(http.StatusForbidden, "terminal.title", "terminal.nokey")
	case !v.member.Decides(v.console.cfg.Store.Now()):
		v.message(http.StatusForbidden, "terminal.title", "terminal.new")
	default:
		return true
	}
	return false
}

func (v *visit) showTerminal(status int, p *terminalPage) {
	s := v.screen()
	s.Title, s.SignedIn, s.Terminal = s.T("terminal.title"), true, p
	v.show(status, "terminal", s)
}

// approveTerminal takes the form, and asks for the passkey over it.
func (v *visit) approveTerminal() {
	if !v.mayApprove() {
		return
	}
	p := v.terminalForm()
	if err := terminal.Check(p.Key, p.Code); err != nil {
		p.Code, p.Wrong = "", "terminal.error.code"
		v.showTerminal(http.StatusUnprocessableEntity, p)
		return
	}
	v.askTerminal(http.StatusOK, p, false)
}

// aboutTerminal is what a passkey signs.
func aboutTerminal(p *terminalPage) []byte {
	b, _ := json.Marshal(map[string]any{"kind": "terminal", "key": p.Key, "role": p.Role, "days": p.Days}) // strings and a number
	return b
}

func (v *visit) askTerminal(status int, p *terminalPage, failed bool) {
	ctx, cancel := v.context()
	defer cancel()
	state, ask, err := v.console.cfg.Members.Ask(ctx, v.place(), v.org, v.member.ID, aboutTerminal(p))
	if err != nil {
		v.fail(err)
		return
	}
	v.host.SetCookie(v.w, signInCookie, state, ceremonyLife, http.SameSiteStrictMode)
	s := v.screen()
	s.Title, s.SignedIn, s.Terminal = s.T("terminal.confirm"), true, p
	s.Keys = &keys{Ask: ask, Fields: []pair{{"code", p.Code}, {"role", p.Role}, {"days", strconv.Itoa(p.Days)}},
		Post: v.address("/cli/login/" + p.Key + "/confirm"), Button: s.T("manual.confirm.button"), Failed: failed, Script: v.console.files.Path("key.js")}
	page.Allow(v.w.Header(), "publickey-credentials-get")
	v.show(status, "terminalkey", s)
}

// confirmTerminal takes the passkey's answer and signs the terminal in.
func (v *visit) confirmTerminal() {
	if !v.mayApprove() {
		return
	}
	ctx, cancel := v.context()
	defer cancel()
	p := v.terminalForm()
	err := v.console.cfg.Members.Confirm(ctx, v.place(), v.org, v.member.ID, v.host.Cookie(v.r, signInCookie), aboutTerminal(p), []byte(v.field("answer")))
	if err == nil {
		v.host.DropCookie(v.w, signInCookie)
		err = v.console.cfg.Terminals.Approve(ctx, terminal.Approval{Org: v.org, Staff: v.member.ID, Name: v.member.Name, Key: p.Key, Code: p.Code, Role: p.Role,
			Life: time.Duration(p.Days) * 24 * time.Hour, By: v.actor(), Address: v.client(), Device: v.r.UserAgent()})
	}
	switch {
	case errors.Is(err, staff.ErrKey), errors.Is(err, staff.ErrGone):
		v.askTerminal(http.StatusForbidden, p, true)
	case errors.Is(err, terminal.ErrCode):
		p.Code, p.Wrong = "", "terminal.error.code"
		v.showTerminal(http.StatusUnprocessableEntity, p)
	case errors.Is(err, terminal.ErrUsed):
		v.message(http.StatusConflict, "terminal.title", "terminal.used")
	case err != nil:
		v.fail(err)
	default:
		p.Done = true
		v.showTerminal(http.StatusOK, p)
	}
}

// terminalAddress is the only kind of page to which a sign-in goes back.
var terminalAddress = regexp.MustCompile(`^/cli/login/[A-Za-z0-9_-]{43}$`)

// cameFrom returns the page that asked for the sign-in.
func (v *visit) cameFrom() string {
	if v.r.Method == http.MethodPost {
		return v.field("back")
	}
	return v.r.URL.Path
}

// back returns where a sign-in goes: to the page of a terminal, else to the first page.
func back(path string) string {
	if terminalAddress.MatchString(path) {
		return path
	}
	return root
}
