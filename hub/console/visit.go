package console

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
)

type visitKey struct{}

// A visit is one request.
type visit struct {
	console *Console
	w       http.ResponseWriter
	r       *http.Request
	host    page.Host
	words   page.Words
	lang    string // asked for in the address, "" if not
	org     string // of whoever is signed in
	session store.ConsoleSession
	member  store.Staff // who is signed in; empty: by the link that init printed
	role    string
	envs    []string // where they have it
}

// lookupTime bounds what a page waits for.
const lookupTime = 15 * time.Second

func (c *Console) visit(w http.ResponseWriter, r *http.Request) (*visit, bool) {
	host, ok := page.ParseOrigin(c.cfg.Origin())
	if !ok { // plain HTTP is for loopback names only
		http.Error(w, "the console is served over https only; see public_url", http.StatusMisdirectedRequest)
		return nil, false
	}
	v := &visit{console: c, w: w, r: r, host: host}
	if l := r.URL.Query()["lang"]; len(l) == 1 && locale.Known(l[0]) {
		v.lang = l[0]
	}
	v.words = page.Words{Language: locale.Choose(nil, v.lang, r.Header.Get("Accept-Language")), Always: []any{"site", host.Name()}}
	return v, true
}

func (v *visit) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(v.r.Context(), lookupTime)
}

// sessionCookie holds the secret of a session; the store knows its hash.
const sessionCookie = "console"

// signedIn reports whether an administrator sent the request, or answers it.
func (v *visit) signedIn() bool {
	secret := v.host.Cookie(v.r, sessionCookie)
	if secret == "" {
		v.ask()
		return false
	}
	ctx, cancel := v.context()
	defer cancel()
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) error { return v.readSession(ctx, tx, secret) })
	if err == nil && v.session.Stale(v.console.cfg.Store.Now()) {
		err = v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return tx.ConsoleSessionSeen(ctx, store.HashToken(secret)) })
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		v.host.DropCookie(v.w, sessionCookie)
		v.ask()
	case errors.Is(err, staff.ErrAddress):
		v.refuseAddress(ctx)
	case err != nil:
		v.fail(err)
	}
	return err == nil
}

// readSession reads whose visit this is: staff.ErrAddress from where the organisation lets
// nobody in, store.ErrNotFound without a session that is still good.
func (v *visit) readSession(ctx context.Context, tx *store.Tx, secret string) (err error) {
	if v.session, err = tx.ConsoleSession(ctx, store.HashToken(secret)); err != nil {
		return err
	}
	v.org, v.role, v.envs = v.session.Org, staff.Owner, []string{store.AllEnvs}
	if v.session.Staff == "" { // by the link of the hub's own machine, which works from everywhere
		return nil
	}
	if org, err := tx.Organisation(ctx, v.org); err != nil || !org.Admits(v.from()) {
		return errors.Join(err, staff.ErrAddress)
	}
	if v.member, err = tx.Staff(ctx, v.org, v.session.Staff); err == nil && v.member.Suspended(tx.Now()) {
		err = store.ErrNotFound // their own account was recovered (T17)
	}
	v.role, v.envs = v.member.Role, v.member.Envs
	return err
}

// reaches reports whether whoever is signed in works in an environment, if it is their
// organisation's; store.AllEnvs: in all of them.
func (v *visit) reaches(env string) bool { return store.Reaches(v.envs, env) }

// environments lists the environments in which whoever is signed in works.
func (v *visit) environments(ctx context.Context, tx *store.Tx) ([]store.Environment, error) {
	all, err := tx.Environments(ctx, v.org)
	return slices.DeleteFunc(all, func(e store.Environment) bool { return !v.reaches(e.ID) }), err
}

// refuseAddress writes down that somebody came from where nobody is let in, and says so.
func (v *visit) refuseAddress(ctx context.Context) {
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		who, err := tx.Staff(ctx, v.org, v.session.Staff)
		if err != nil {
			return err
		}
		return staff.Refused(ctx, tx, who, v.r.UserAgent(), v.client())
	})
	if err != nil {
		v.fail(err)
		return
	}
	v.elsewhere()
}

// link shows the button that signs in. Reading it uses nothing up, so that programs
// which look behind links do no harm.
func (v *visit) link() {
	s := v.screen()
	s.Title = s.T("console.link.title")
	v.show(http.StatusOK, "link", s)
}

// redeem uses the link up and opens a session.
func (v *visit) redeem() {
	session := store.NewToken()
	ctx, cancel := v.context()
	defer cancel()
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		org, err := tx.RedeemConsoleLink(ctx, store.HashToken(v.r.PathValue("secret")), store.HashToken(session))
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Org: org, Kind: audit.ConsoleSignin, Actor: v.actor(), RemoteAddr: v.client(), UserAgent: v.r.UserAgent()})
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		v.message(http.StatusForbidden, "console.link.gone", "console.signin.how")
	case err != nil:
		v.fail(err)
	default:
		v.host.SetCookie(v.w, sessionCookie, session, 0, http.SameSiteStrictMode)
		v.see(root)
	}
}

func (v *visit) signOut() {
	ctx, cancel := v.context()
	defer cancel()
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.EndConsoleSession(ctx, store.HashToken(v.host.Cookie(v.r, sessionCookie))), v.ended(ctx, tx, v.session))
	})
	if err != nil {
		v.fail(err)
		return
	}
	v.host.DropCookie(v.w, sessionCookie)
	v.message(http.StatusOK, "console.out.title", "console.out.text")
}

// actor is who acts, in the audit log. The one-time link of an installation is given to
// whoever runs the hub, so of them that is all that is known.
func (v *visit) actor() audit.Principal {
	if v.member.ID == "" {
		return audit.Principal{Role: staff.Owner, System: "console"}
	}
	return audit.Principal{Role: v.role, OrgMember: v.member.ID}
}

// ended writes down that somebody ended a session, their own or another's.
func (v *visit) ended(ctx context.Context, tx *store.Tx, s store.ConsoleSession) error {
	return audit.Append(ctx, tx, audit.Event{Org: v.org, Kind: audit.ConsoleSignout, Actor: v.actor(), Trace: s.Staff, RemoteAddr: v.client(), UserAgent: v.r.UserAgent(),
		Detail: map[string]any{"session": s.ID, "member": s.Staff}})
}

// client is the address of the browser, which the edge has put in the connection's place.
func (v *visit) client() string {
	host, _, err := net.SplitHostPort(v.r.RemoteAddr)
	if err != nil {
		return v.r.RemoteAddr
	}
	return host
}

// from is client, as lists of addresses take it; the zero Addr is on none.
func (v *visit) from() netip.Addr {
	a, _ := netip.ParseAddr(v.client())
	return a
}

// elsewhere says that the organisation lets nobody in from the address that was seen.
func (v *visit) elsewhere() {
	s := v.screen()
	s.Title, s.Texts = s.T("console.elsewhere.title"), []string{s.T("console.elsewhere.text", "address", v.client()), s.T("console.elsewhere.how")}
	v.show(http.StatusForbidden, "message", s)
}

// see sends the browser to one of our pages, with GET.
func (v *visit) see(p string) {
	v.w.Header().Set("Location", v.address(p))
	v.w.WriteHeader(http.StatusSeeOther)
}

// address keeps the chosen language.
func (v *visit) address(p string) string {
	if v.lang != "" {
		p += "?lang=" + v.lang
	}
	return p
}

func (v *visit) file() {
	if !v.console.files.Has(v.r.URL.Path) {
		v.missing()
		return
	}
	v.console.files.ServeHTTP(v.w, v.r)
}

func (v *visit) missing() { v.fail(errNoPage) }
