package console

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/manual"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// byHandOffice is what the console's verifications by hand rest on here.
type byHandOffice struct{ right []bool }

func (*byHandOffice) Methods(context.Context, *store.Tx, string, string, string) (policy.Methods, []policy.Group, error) {
	return policy.Methods{Default: []policy.Combination{{policy.MailCode, policy.Manual}}}, nil, nil
}

func (*byHandOffice) Offered(context.Context, *store.Tx, store.Account) ([]manual.Choice, error) {
	return []manual.Choice{{Action: protocol.ActionPassword, Methods: policy.Combination{policy.MailCode, policy.Manual}}}, nil
}

func (*byHandOffice) Sensitive(context.Context, *store.Tx, string, []policy.Group) (bool, error) {
	return false, nil
}
func (*byHandOffice) QueueManual(context.Context, *store.Tx, manual.Message) error        { return nil }
func (*byHandOffice) QueueRevocation(context.Context, *store.Tx, manual.Revocation) error { return nil }
func (*byHandOffice) Wake()                                                               {}
func (o *byHandOffice) Settle(_ context.Context, _, _, _ string, v verify.Verdict) error {
	o.right = append(o.right, v.Right)
	return nil
}

func (o *byHandOffice) Withdraw(context.Context, string, string, string, func(*store.Tx, bool) error) (bool, error) {
	return false, nil
}

// member signs somebody in with a passkey.
func (g *rig) member(owner *admin, role, mail string) (*admin, *evidencetest.Authenticator) {
	g.t.Helper()
	a := g.admin()
	key := g.joined(a, g.invited(owner, role, mail))
	a.get("/console").send("/console/enter", url.Values{"answer": {string(key.Assert(challenge(g.t, a.body)))}}).sees(200)
	return a, key
}

// kim is an account of the fixture's directory.
func (g *rig) kim() (a store.Account) {
	g.t.Helper()
	g.Accounts(g.t, g.store, protocol.Account{ID: "7", Name: "Kim <Lee>", Identifiers: []string{"kim@acme.example"}})
	g.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		a, err = tx.AccountOf(ctx, g.Env.ID, g.Directory.ID, "7")
		return err
	})
	return a
}

var taken = regexp.MustCompile(`name="verification" value="([^"]+)"`)

func TestTheHelpDeskVerifiesSomebodyByHandAndTakesItBack(t *testing.T) {
	g := newRig(t)
	owner, kim := g.signedIn(), g.kim()
	ann, key := g.member(owner, staff.User, "ann@acme.example")
	page := "/console/verify/" + g.Env.ID + "/" + kim.ID
	ann.get(page).sees(200, "Kim &lt;Lee&gt;", "A new password: code by mail &#43; verified by hand", "Nobody was")
	word := url.Values{"choice": {"password:mail_code+manual"}, "seen": {"in_person"}, "reason": {"stood before me"}}
	ann.send(page, url.Values{"choice": word["choice"], "reason": word["reason"]}).sees(422, "Choose what makes you sure")
	ann.get(page).send(page, word).sees(200, "Confirm with your passkey", "stood before me")
	answer := string(key.Assert(challenge(t, ann.body)))
	forged := url.Values{"choice": word["choice"], "seen": word["seen"], "reason": {"something else"}, "answer": {answer}}
	ann.send(page+"/confirm", forged).sees(403, "Confirm with your passkey") // the passkey signed other words
	ann.get(page).send(page, word).sees(200)
	word.Set("answer", string(key.Assert(challenge(t, ann.body))))
	ann.send(page+"/confirm", word)
	ann.get(page).sees(200, "stood before me", "Waits for a recovery until")
	id := taken.FindStringSubmatch(ann.body)
	if id == nil {
		t.Fatal("nothing to take back")
	}
	ann.send(page+"/revoke", url.Values{"verification": {id[1]}, "reason": {"a voice like hers"}})
	ann.get(page).sees(200, "a voice like hers")
	if strings.Contains(ann.body, "Waits for a recovery until") {
		t.Error("it still waits")
	}
	owner.get(page).sees(200, "You may not verify the owner of this account") // the link of the installation names nobody
	reader, _ := g.member(owner, staff.LimitedPlus, "reader@acme.example")
	reader.get(page).sees(403, "Your role does not reach this")
}

func TestARecoveryThatWaitsIsDecidedByItsNumber(t *testing.T) {
	g := newRig(t)
	owner, kim := g.signedIn(), g.kim()
	ann, key := g.member(owner, staff.User, "ann@acme.example")
	v := store.Verification{Env: g.Env.ID, ID: store.NewID(), Recovery: store.NewID(), State: "open", ExpiresAt: time.Now().Add(time.Hour)}
	g.tx(func(ctx context.Context, tx *store.Tx) error { return tx.AddVerification(ctx, &v) })
	c, err := g.manuals.Open(t.Context(), verify.Subject{Env: g.Env.ID, Directory: g.Directory.ID, Verification: v.ID, Account: "7", Person: kim.ID, Name: kim.Name,
		Action: protocol.ActionPassword, Proven: []policy.Method{policy.MailCode}, Until: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	number := regexp.MustCompile(`[0-9]{2}`).FindString(string(c.Ask))
	ann.get("/console").sees(200, "People who wait for the help desk")
	ann.get("/console/waiting").sees(200, "Kim &lt;Lee&gt;", c.Case)
	page := "/console/waiting/" + g.Env.ID + "/" + c.Case
	ann.get(page).sees(200, "Let them read you the number")
	word := url.Values{"number": {number}, "seen": {"called_back"}, "reason": {"called her back"}}
	ann.send(page, word).sees(200, "Confirm with your passkey")
	word.Set("answer", string(key.Assert(challenge(t, ann.body))))
	ann.send(page+"/confirm", word)
	if len(g.desk.right) != 1 || !g.desk.right[0] {
		t.Errorf("told %v", g.desk.right)
	}
	ann.get(page).sees(409, "Nobody waits for this any more")
	ann.get("/console/waiting").sees(200, "Nobody waits.")
}

func TestEverybodySeesAndEndsTheirOwnSessionsOnly(t *testing.T) {
	g := newRig(t)
	owner := g.signedIn()
	ann, key := g.member(owner, staff.Limited, "ann@acme.example")
	other := g.admin()
	other.get("/console").send("/console/enter", url.Values{"answer": {string(key.Assert(challenge(t, other.body)))}}).sees(200)
	ann.get("/console/mine").sees(200, "This is you")
	mine := regexp.MustCompile(`name="session" value="([^"]+)"`).FindAllStringSubmatch(ann.body, -1)
	if len(mine) != 2 {
		t.Fatalf("%d sessions", len(mine))
	}
	var theirs string
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.ConsoleSessions(ctx, g.Env.Org)
		for _, s := range all {
			if s.Staff == "" {
				theirs = s.ID
			}
		}
		return err
	})
	ann.send("/console/mine/end", url.Values{"session": {theirs}})
	owner.get("/console").sees(200)
	for _, s := range mine {
		ann.get("/console/mine")
		if ann.status == http.StatusOK {
			ann.send("/console/mine/end", url.Values{"session": {s[1]}})
		}
	}
	other.get("/console").sees(403)
}

func TestTheLastOwnerStaysInTheConsoleToo(t *testing.T) {
	g := newRig(t)
	link := g.signedIn()
	owner, _ := g.member(link, staff.Owner, "owner@acme.example")
	var id string
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.StaffList(ctx, g.Env.Org)
		for _, p := range all {
			id = p.ID
		}
		return err
	})
	owner.get("/console/staff").sees(200, "Change")
	owner.send("/console/staff/role", url.Values{"member": {id}, "role": {staff.User}}).sees(409, "The last owner stays")
	owner.get("/console/staff").send("/console/staff/remove", url.Values{"member": {id}}).sees(409, "The last owner stays")
	g.member(owner, staff.Owner, "second@acme.example")
	owner.get("/console/staff").send("/console/staff/role", url.Values{"member": {id}, "role": {staff.User}})
	owner.get("/console/staff").sees(403)
}
