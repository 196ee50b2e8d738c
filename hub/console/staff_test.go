package console

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

var (
	asksFor    = regexp.MustCompile(`"challenge":"([A-Za-z0-9_-]{43})"`)
	invitation = regexp.MustCompile(`<code id="invitation">([^<]+)</code>`)
)

// challenge is what the page that is shown asks a passkey for.
func challenge(t *testing.T, page string) [32]byte {
	t.Helper()
	m := asksFor.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no request on the page: %s", page)
	}
	b, err := base64.RawURLEncoding.DecodeString(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte(b)
}

// invited makes an invitation as the owner and returns its secret.
func (g *rig) invited(owner *admin, role, mail string) string {
	g.t.Helper()
	owner.get("/console/staff").sees(200, "Invite somebody")
	owner.send("/console/staff/invite", url.Values{"name": {"Ann"}, "mail": {mail}, "role": {role}, "envs": {store.AllEnvs}}).sees(200, "shown only now")
	link := invitation.FindStringSubmatch(owner.body)
	if link == nil {
		g.t.Fatal("no link")
	}
	_, token, _ := strings.Cut(html.UnescapeString(link[1]), "#")
	return token
}

// joined makes the passkey of an invitation.
func (g *rig) joined(a *admin, token string) *evidencetest.Authenticator {
	g.t.Helper()
	key := evidencetest.NewAuthenticator(g.url)
	a.get("/console/join").send("/console/join", url.Values{"token": {token}}).sees(200, "Hello Ann")
	a.send("/console/join/key", url.Values{"answer": {string(key.Register(challenge(g.t, a.body)))}})
	return key
}

func TestStaffComeInByAnInvitationAndAPasskey(t *testing.T) {
	g := newRig(t)
	owner := g.signedIn()
	token := g.invited(owner, staff.User, "ann@acme.example")
	ann := g.admin()
	key := g.joined(ann, token)
	ann.get("/console").sees(403, "Sign in with my passkey")
	answer := string(key.Assert(challenge(t, ann.body)))
	ann.send("/console/enter", url.Values{"answer": {answer}}).sees(200, "Is recovery working?")
	if ann.do(http.MethodPost, "/console/enter", url.Values{"form": {hidden.FindStringSubmatch(ann.body)[2]}, "answer": {answer}}); strings.Contains(ann.body, "Is recovery working?") {
		t.Error("the same answer signed in twice")
	}
	ann.get("/console/staff").sees(403, "Your role does not reach this")
	owner.get("/console/staff").sees(200, "Ann", "1 passkey", "This is you", "End this session")
	again := g.admin() // P07: the link is used up
	again.get("/console/join").send("/console/join", url.Values{"token": {token}}).sees(404, "works no more")
}

// Whoever could make a link to the place of somebody who signs in already would act in
// their name, and be two people where two must agree.
func TestNobodyIsInvitedIntoThePlaceOfAColleague(t *testing.T) {
	g := newRig(t)
	owner := g.signedIn()
	g.invited(owner, staff.User, "ann@acme.example")
	second := g.invited(owner, staff.User, "ann@acme.example") // the first may be lost
	g.joined(g.admin(), second)
	owner.get("/console/staff").send("/console/staff/invite", url.Values{"name": {"Ann"}, "mail": {"ann@acme.example"}, "role": {staff.User}})
	if owner.status == 200 && invitation.MatchString(owner.body) {
		t.Error("a link to the place of somebody who has a passkey was made")
	}
}

func TestASessionIsEndedByAnAdministrator(t *testing.T) {
	g := newRig(t)
	owner := g.signedIn()
	ann := g.admin()
	key := g.joined(ann, g.invited(owner, staff.Admin, "ann@acme.example"))
	ann.get("/console").send("/console/enter", url.Values{"answer": {string(key.Assert(challenge(t, ann.body)))}}).sees(200)
	var session string
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.ConsoleSessions(ctx, g.Env.Org)
		for _, s := range all {
			if s.Staff != "" {
				session = s.ID
			}
		}
		return err
	})
	owner.get("/console/staff")
	owner.do(http.MethodPost, "/console/staff/end", url.Values{"form": {hidden.FindStringSubmatch(owner.body)[2]}, "session": {session}})
	ann.get("/console").sees(403, "Sign in with my passkey")
	signins, ended := g.audited(audit.ConsoleSignin), g.audited(audit.ConsoleSignout)
	if len(ended) != 1 || !strings.Contains(string(ended[0].Detail), session) || len(signins) != 2 {
		t.Errorf("logged %d sign-ins, ends %+v", len(signins), ended)
	}
	for _, e := range signins {
		if e.RemoteAddr != "127.0.0.1" && e.RemoteAddr != "::1" {
			t.Errorf("signed in from %q", e.RemoteAddr)
		}
	}
	// T17: and whose account was recovered does not get in again.
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.SuspendStaff(ctx, g.Env.ID, g.Directory.ID, "9", []string{"ann@acme.example"}, time.Now().Add(72*time.Hour))
		if n != 1 {
			t.Errorf("%d suspended", n)
		}
		return err
	})
	ann.send("/console/enter", url.Values{"answer": {string(key.Assert(challenge(t, ann.body)))}}).sees(403, "may be suspended")
}

// audited lists the events of a kind.
func (g *rig) audited(kind audit.Kind) (all []audit.Record) {
	g.t.Helper()
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		list, err := audit.List(ctx, tx, g.Env.Org, store.AuditFilter{Count: 100})
		for _, e := range list {
			if e.Kind == kind {
				all = append(all, e)
			}
		}
		return err
	})
	return all
}

// NIST SP 800-63B-4, section 2.2.3: an hour without anybody there, a day at most.
func TestAConsoleSessionEndsWhenNobodyIsThere(t *testing.T) {
	g := newRig(t)
	owner := g.signedIn()
	for range 3 {
		g.ahead(59 * time.Minute)
		owner.get("/console").sees(200)
	}
	g.ahead(61 * time.Minute)
	owner.get("/console").sees(403, "Sign in with my passkey")
	long := g.signedIn()
	for range 24 {
		g.ahead(59 * time.Minute)
		long.get("/console").sees(200)
	}
	g.ahead(30 * time.Minute)
	long.get("/console").sees(403, "Sign in with my passkey")
}

func TestAScannerThatOpensAnInvitationUsesNothingUp(t *testing.T) {
	g := newRig(t)
	token := g.invited(g.signedIn(), staff.User, "ann@acme.example")
	for range 3 {
		bot := g.admin()
		bot.get("/console/join").sees(200, "has done nothing yet")
		bot.get("/console/join/key").sees(404)
	}
	g.joined(g.admin(), token)
}

// T01: what was made to approve at a recovery domain does not sign in, and the other way.
func TestT01_AKeyOfARecoveryDomainDoesNotSignIn(t *testing.T) {
	g := newRig(t)
	a := g.signedIn()
	a.send("/console/sign-out", nil)
	far := evidencetest.NewAuthenticator("https://recover.acme.example")
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		who := store.Staff{Org: g.Env.Org, ID: store.NewID(), Name: "Ann", Mail: "ann@acme.example", Role: staff.Owner}
		if err := tx.AddStaff(ctx, &who); err != nil {
			return err
		}
		sum := sha256.Sum256(far.ID)
		public, err := json.Marshal(far.Credential())
		if err != nil {
			return err
		}
		return tx.AddStaffKey(ctx, &store.StaffKey{Org: who.Org, ID: store.NewID(), Staff: who.ID, RP: far.RPID, Credential: base64.RawURLEncoding.EncodeToString(sum[:]), Secret: public})
	})
	far.Origin = g.url // even where its browser were made to sign for our origin
	a.get("/console").sees(403)
	a.send("/console/enter", url.Values{"answer": {string(far.Assert(challenge(t, a.body)))}}).sees(403, "does not sign in here")
}
