package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
)

// Cookies of ceremonies: the state of a sign-in, the secret of an invitation.
const (
	signInCookie = "signin"
	joinCookie   = "join"
	ceremonyLife = time.Hour
)

// keys is a page on which a passkey is used or made.
type keys struct {
	Ask    json.RawMessage
	Fields []pair // that the form carries on
	Post   string // where the form goes
	Text   string
	Button string
	Failed bool
	Link   bool // the page only takes the secret out of its address
	Script string
}

func (v *visit) place() staff.Place { return staff.Place{Origin: v.host.Origin} }

func (v *visit) toRoot() { v.see(root) }

// ask asks for a passkey, and says how else to get in.
func (v *visit) ask() { v.askKey(http.StatusForbidden, false) }

func (v *visit) askKey(status int, failed bool) {
	state, ask, err := v.console.cfg.Members.SignIn(v.place())
	if err != nil {
		v.fail(err)
		return
	}
	v.host.SetCookie(v.w, signInCookie, state, ceremonyLife, http.SameSiteStrictMode)
	s := v.screen()
	s.Title, s.Texts = s.T("console.signin.title"), []string{s.T("console.signin.text"), s.T("console.signin.how")}
	s.Keys = &keys{Ask: ask, Fields: []pair{{"back", v.cameFrom()}}, Post: v.address(root + "/enter"), Button: s.T("console.key.button"), Failed: failed, Script: v.console.files.Path("key.js")}
	page.Allow(v.w.Header(), "publickey-credentials-get")
	v.show(status, "signin", s)
}

// enter takes the answer of a passkey and opens a session.
func (v *visit) enter() {
	ctx, cancel := v.context()
	defer cancel()
	session, err := v.console.cfg.Members.Enter(ctx, v.place(), v.host.Cookie(v.r, signInCookie), []byte(v.field("answer")), v.r.UserAgent(), v.client())
	switch {
	case errors.Is(err, staff.ErrKey), errors.Is(err, staff.ErrRole), errors.Is(err, staff.ErrGone), errors.Is(err, store.ErrNotFound):
		v.askKey(http.StatusForbidden, true)
	case errors.Is(err, staff.ErrAddress):
		v.elsewhere()
	case err != nil:
		v.fail(err)
	default:
		v.host.DropCookie(v.w, signInCookie)
		v.host.SetCookie(v.w, sessionCookie, session, 0, http.SameSiteStrictMode)
		v.see(back(v.field("back")))
	}
}

// joinLink shows the page that takes the secret of an invitation out of its address.
func (v *visit) joinLink() {
	s := v.screen()
	s.Title = s.T("console.join.title")
	s.Keys = &keys{Link: true, Text: s.T("console.join.link"), Post: v.address(staff.ConsolePath), Script: v.console.files.Path("key.js")}
	v.show(http.StatusOK, "join", s)
}

// maxInvitation bounds the secret of an invitation.
const maxInvitation = 128

// keepInvitation puts the secret into a cookie. It uses nothing up.
func (v *visit) keepInvitation() {
	token := v.field("token")
	if token == "" || len(token) > maxInvitation {
		v.goneInvitation()
		return
	}
	v.host.SetCookie(v.w, joinCookie, token, ceremonyLife, http.SameSiteStrictMode)
	v.see(staff.ConsolePath + "/key")
}

func (v *visit) goneInvitation() {
	v.message(http.StatusNotFound, "console.join.gone.title", "console.join.gone.text")
}

func (v *visit) invitation() { v.showInvitation(http.StatusOK, false) }

func (v *visit) showInvitation(status int, failed bool) {
	ctx, cancel := v.context()
	defer cancel()
	inv, err := v.console.cfg.Members.Invitation(ctx, v.place(), v.host.Cookie(v.r, joinCookie))
	if errors.Is(err, staff.ErrGone) {
		v.goneInvitation()
		return
	} else if err != nil {
		v.fail(err)
		return
	}
	s := v.screen()
	s.Title = s.T("console.join.title")
	s.Keys = &keys{Ask: inv.Ask, Text: s.T("console.join.text", "name", inv.Name), Post: v.address(staff.ConsolePath + "/key"),
		Button: s.T("console.join.button"), Failed: failed, Script: v.console.files.Path("key.js")}
	page.Allow(v.w.Header(), "publickey-credentials-create")
	v.show(status, "join", s)
}

// join makes the passkey of an invitation.
func (v *visit) join() {
	ctx, cancel := v.context()
	defer cancel()
	_, err := v.console.cfg.Members.Join(ctx, v.place(), v.host.Cookie(v.r, joinCookie), []byte(v.field("answer")))
	switch {
	case errors.Is(err, staff.ErrKey):
		v.showInvitation(http.StatusUnprocessableEntity, true)
	case errors.Is(err, staff.ErrGone):
		v.goneInvitation()
	case err != nil:
		v.fail(err)
	default:
		v.host.DropCookie(v.w, joinCookie)
		v.see(root)
	}
}
