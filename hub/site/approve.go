package site

import (
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/approval"
)

// Vouchers take what people who are asked decide. Errors are those of package approval.
type Vouchers interface {
	Request(ctx context.Context, env, token string) (approval.Request, error)
	Approve(ctx context.Context, env, token, request, number string, spoken bool, assertion []byte, by approval.Client) error
	Deny(ctx context.Context, env, token, request string, by approval.Client) error
}

// Members make the passkeys of people who vouch. Errors are those of package staff.
type Members interface {
	Invitation(ctx context.Context, at staff.Place, token string) (staff.Invitation, error)
	Join(ctx context.Context, at staff.Place, token string, registration []byte) (staff.Joined, error)
}

// Pages of people who vouch. The links of mails carry their secret in the fragment, which
// reaches nobody: a script puts it into a form, and a person sends that.
const (
	approvePath  = "/approve"
	approverPath = staff.ApproverPath
)

// Cookies that hold the secret of a link while its page is open.
const (
	approveCookie = "approve"
	joinCookie    = "join"
	linkLife      = time.Hour
)

// approveScreen is what people who vouch see.
type approveScreen struct {
	Asked  approval.Request
	Wants  template.HTML // they are asked for
	With   string        // the browser that asks
	Joined staff.Joined
	Key    string // JSON of the public key
	Invite staff.Invitation
	Post   string // path of the page's form
	Ask    json.RawMessage
}

// fragment shows the page that takes a secret out of its own address.
func (v *visit) fragment(title string) {
	s := v.screen(flow.View{})
	s.Title, s.Post, s.Script = s.T(title+".title"), v.r.URL.Path, v.site.files.Path("fragment.js")
	s.Texts = []string{s.T(title + ".text")}
	v.show(http.StatusOK, "fragment", s)
}

func (v *visit) approveLink()  { v.fragment("approve.link") }
func (v *visit) approverLink() { v.fragment("approver.link") }

// keepLink puts the secret of a link into a cookie and leads on. It uses nothing up.
func (v *visit) keepLink(cookie, next string) {
	token := v.field("token")
	if token == "" || len(token) > maxToken {
		v.goneLink()
		return
	}
	v.host.SetCookie(v.w, cookie, token, linkLife, http.SameSiteStrictMode)
	v.see(next, nil)
}

func (v *visit) openApprove()  { v.keepLink(approveCookie, approvePath+"/request") }
func (v *visit) openApprover() { v.keepLink(joinCookie, approverPath+"/key") }

func (v *visit) goneLink() {
	v.message(http.StatusNotFound, "approve.gone.title", []string{"approve.gone.text"}, nil)
}

// toApprove leads back to the page whose form was loaded again.
func (v *visit) toApprove() { v.see(approvePath+"/request", nil) }

// asked shows what a person is asked to vouch for.
func (v *visit) asked() { v.showAsked(http.StatusOK, "", "") }

func (v *visit) showAsked(status int, field, why string) {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	r, err := v.site.cfg.Vouchers.Request(ctx, v.req.Env, v.host.Cookie(v.r, approveCookie))
	switch {
	case errors.Is(err, approval.ErrGone):
		v.goneLink()
		return
	case err != nil:
		v.fail(err)
		return
	case r.State == "denied":
		v.message(http.StatusOK, "approve.denied.title", []string{"approve.denied.text"}, nil)
		return
	case r.Replaced:
		v.showReplaced(r)
		return
	case r.State == "approved":
		v.message(http.StatusOK, "approve.done.title", []string{"approve.done.text"}, nil)
		return
	case !r.Open:
		v.goneLink()
		return
	case r.Tries == 0:
		v.message(http.StatusForbidden, "approve.spent.title", []string{"approve.spent.text"}, nil)
		return
	}
	s := v.askedScreen(r)
	s.Ask, s.Post = r.Ask, approvePath+"/request"
	s.Title, s.Script = s.T("approve.title", "account", r.Name), v.site.files.Path("passkey.js")
	if field != "" {
		s.wrong(field, s.T(why))
	}
	page.Allow(v.w.Header(), "publickey-credentials-get")
	v.show(status, "approve", s)
}

// askedScreen begins a page about what somebody is asked.
func (v *visit) askedScreen(r approval.Request) *screen {
	s := v.screen(flow.View{})
	s.Asked, s.With = r, s.Language.Device(r.Device)
	s.Wants = s.H("approve.what."+string(r.Action), "account", r.Name)
	return s
}

// showReplaced leads to the newer mail. A no is about the person who asks, and is taken
// here too.
func (v *visit) showReplaced(r approval.Request) {
	s := v.askedScreen(r)
	s.Title = s.T("approve.replaced.title")
	v.show(http.StatusGone, "approvereplaced", s)
}

// Undecided reports whether the person has said neither yes nor no by this link.
func (s *screen) Undecided() bool { return s.Asked.State == store.AskOpen }

// approveFailures are the mistakes that a person mends on the page.
var approveFailures = []struct {
	is         error
	field, why string
}{
	{approval.ErrSpoken, "spoken", "approve.error.spoken"},
	{approval.ErrNumber, "number", "approve.error.number"},
	{approval.ErrKey, "ask", "approve.error.key"},
}

// approve takes an approval.
func (v *visit) approve() {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	err := v.site.cfg.Vouchers.Approve(ctx, v.req.Env, v.host.Cookie(v.r, approveCookie), v.field("request"), v.field("number"), v.field("spoken") == "yes",
		[]byte(v.field("answer")), v.decider())
	for _, f := range approveFailures {
		if errors.Is(err, f.is) {
			v.showAsked(http.StatusUnprocessableEntity, f.field, f.why)
			return
		}
	}
	v.decided(err)
}

// deny raises the alarm.
func (v *visit) deny() {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	v.decided(v.site.cfg.Vouchers.Deny(ctx, v.req.Env, v.host.Cookie(v.r, approveCookie), v.field("request"), v.decider()))
}

func (v *visit) decided(err error) {
	switch {
	case errors.Is(err, approval.ErrTooMany), errors.Is(err, approval.ErrReplaced), err == nil:
		v.see(approvePath+"/request", nil)
	case errors.Is(err, approval.ErrGone):
		v.goneLink()
	default:
		v.fail(err)
	}
}

func (v *visit) decider() approval.Client {
	return approval.Client{Address: v.req.Client, UserAgent: v.r.UserAgent()}
}

func (v *visit) place() staff.Place { return staff.Place{Env: v.req.Env, Origin: v.req.Origin} }

// invited shows the making of the passkey by which somebody vouches.
func (v *visit) invited() { v.showInvited(http.StatusOK, false) }

func (v *visit) showInvited(status int, failed bool) {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	inv, err := v.site.cfg.Members.Invitation(ctx, v.place(), v.host.Cookie(v.r, joinCookie))
	if errors.Is(err, staff.ErrGone) {
		v.goneLink()
		return
	} else if err != nil {
		v.fail(err)
		return
	}
	s := v.screen(flow.View{})
	s.Invite, s.Ask, s.Post = inv, inv.Ask, approverPath+"/key"
	s.Title, s.Script = s.T("approver.title"), v.site.files.Path("passkey.js")
	if failed {
		s.wrong("ask", s.T("approver.error"))
	}
	page.Allow(v.w.Header(), "publickey-credentials-create")
	v.show(status, "approver", s)
}

// join keeps the passkey, and shows what the administrator of the agent needs of it.
func (v *visit) join() {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	j, err := v.site.cfg.Members.Join(ctx, v.place(), v.host.Cookie(v.r, joinCookie), []byte(v.field("answer")))
	switch {
	case errors.Is(err, staff.ErrKey):
		v.showInvited(http.StatusUnprocessableEntity, true)
		return
	case errors.Is(err, staff.ErrGone):
		v.goneLink()
		return
	case err != nil:
		v.fail(err)
		return
	}
	v.host.DropCookie(v.w, joinCookie)
	key, err := json.Marshal(j.Key)
	if err != nil {
		v.fail(err)
		return
	}
	s := v.screen(flow.View{})
	s.Joined, s.Key, s.Title = j, string(key), s.T("approver.done.title")
	v.show(http.StatusOK, "approverdone", s)
}
