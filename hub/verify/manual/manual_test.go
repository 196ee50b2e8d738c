package manual

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// A desk is the method over a real store, with a clock of the test and what it sends and
// settles written down. The flow itself is tested in hub/flow.
type desk struct {
	storetest.Fixture
	*Manuals
	t         *testing.T
	clock     atomic.Int64
	methods   policy.Methods
	sensitive bool
	board     string // a group that asks for more
	account   store.Account
	mu        sync.Mutex
	mails     []Message
	revoked   []Revocation
	told      []verify.Verdict
	withdrawn []string
	gone      bool // nobody waits for what staff decided
	people    map[string]Actor
}

func (d *desk) Methods(context.Context, *store.Tx, string, string, string) (policy.Methods, []policy.Group, error) {
	return d.methods, nil, nil
}

func (d *desk) Offered(context.Context, *store.Tx, store.Account) (list []Choice, err error) {
	for _, c := range d.methods.Default {
		list = append(list, Choice{protocol.ActionPassword, c})
	}
	return list, nil
}

func (d *desk) Sensitive(_ context.Context, _ *store.Tx, _ string, groups []policy.Group) (bool, error) {
	return d.sensitive || slices.ContainsFunc(groups, func(g policy.Group) bool { return g.Name == d.board }), nil
}

func (d *desk) QueueManual(_ context.Context, _ *store.Tx, m Message) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mails = append(d.mails, m)
	return nil
}

func (d *desk) QueueRevocation(_ context.Context, _ *store.Tx, r Revocation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.revoked = append(d.revoked, r)
	return nil
}

func (*desk) Wake() {}

func (d *desk) Settle(_ context.Context, _, _, method string, v verify.Verdict) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if method != "manual" {
		d.t.Errorf("settled as %s", method)
	}
	if d.gone {
		return verify.ErrNobody
	}
	d.told = append(d.told, v)
	return nil
}

func (d *desk) Withdraw(ctx context.Context, _, recovery, method string, fn func(tx *store.Tx, performed bool) error) (bool, error) {
	err := d.Store.Tx(ctx, func(tx *store.Tx) error { return fn(tx, false) })
	if err == nil {
		d.withdrawn = append(d.withdrawn, method+" of "+recovery)
	}
	return false, err
}

func each(t *testing.T, test func(t *testing.T, d *desk)) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		d := &desk{t: t, people: map[string]Actor{}, methods: policy.Methods{Default: []policy.Combination{{policy.MailCode, policy.Manual}, {policy.Passkey}}}}
		c.Now = func() time.Time { return time.Now().Add(time.Duration(d.clock.Load())) }
		s := storetest.Open(t, c)
		d.Fixture = storetest.Seed(t, s)
		d.Manuals = New(s, d, d, slog.New(slog.DiscardHandler))
		d.Flow = d
		d.Accounts(t, s, protocol.Account{ID: "7", Name: "Kim", Identifiers: []string{"kim@example.com"}})
		var err error
		d.account, err = store.Get(t.Context(), s, func(tx *store.Tx) (store.Account, error) {
			return tx.AccountOf(t.Context(), d.Env.ID, d.Directory.ID, "7")
		})
		d.must(err)
		for name, role := range map[string]string{"owner": "owner", "admin": "admin", "ann": "user", "reader": "limited_plus"} {
			d.hire(name, store.Staff{Mail: name + "@example.com", Role: role})
		}
		test(t, d)
	})
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) hire(name string, p store.Staff) {
	d.t.Helper()
	p.Org, p.ID, p.Name = d.Org.ID, store.NewID(), name
	d.must(d.Store.Tx(d.t.Context(), func(tx *store.Tx) error { return tx.AddStaff(d.t.Context(), &p) }))
	d.people[name] = Actor{ID: p.ID, Name: name, Role: p.Role}
}

// recovery makes a verification that comes to this method.
func (d *desk) recovery(proven ...policy.Method) verify.Subject {
	d.t.Helper()
	v := store.Verification{Env: d.Env.ID, ID: store.NewID(), Recovery: store.NewID(), State: "open", ExpiresAt: d.Store.Now().Add(time.Hour)}
	d.must(d.Store.Tx(d.t.Context(), func(tx *store.Tx) error { return tx.AddVerification(d.t.Context(), &v) }))
	return verify.Subject{Env: d.Env.ID, Directory: d.Directory.ID, Verification: v.ID, Account: "7", Person: d.account.ID, Name: "Kim", Action: protocol.ActionPassword,
		Proven: proven, Until: d.Store.Now().Add(time.Hour), Contacts: protocol.Contacts{Mail: []string{"kim@private.example"}}}
}

// open comes to the method, and returns its request and number.
func (d *desk) open(s verify.Subject) (id, number string) {
	d.t.Helper()
	c, err := d.Open(d.t.Context(), s)
	d.must(err)
	var shown asked
	d.must(json.Unmarshal(c.Ask, &shown))
	if len(shown.Number) != 2 {
		d.t.Fatalf("number %q", shown.Number)
	}
	return c.Case, shown.Number
}

var (
	byMail = Choice{protocol.ActionPassword, policy.Combination{policy.MailCode, policy.Manual}}.ID()
	word   = Word{Choice: byMail, Seen: []string{"in_person"}, Reason: "stood before me with her badge"}
)

func (d *desk) say(who string) error {
	return d.Verify(d.t.Context(), d.Env.ID, d.account.ID, word, d.people[who])
}

func (d *desk) past() []Past {
	d.t.Helper()
	s, err := d.Sheet(d.t.Context(), d.Env.ID, d.account.ID, d.people["ann"])
	d.must(err)
	return s.Past
}

func (d *desk) audited(kind audit.Kind) (all []audit.Record) {
	d.t.Helper()
	list, err := store.Get(d.t.Context(), d.Store, func(tx *store.Tx) ([]audit.Record, error) {
		return audit.List(d.t.Context(), tx, d.Org.ID, store.AuditFilter{Count: 100})
	})
	d.must(err)
	return slices.DeleteFunc(list, func(r audit.Record) bool { return r.Kind != kind })
}

func TestWhatStaffSayCountsForOneRecoveryWithinItsTime(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.must(d.say("ann"))
		if len(d.mails) != 1 || d.mails[0].To != "kim@example.com" || d.mails[0].By != "ann" {
			t.Errorf("the owner was told %+v", d.mails)
		}
		e := d.audited(audit.ManualVerified)
		if len(e) != 1 || e[0].Personal["staff"] != "ann" || e[0].Personal["account"] != "Kim" || e[0].Actor.OrgMember != d.people["ann"].ID {
			t.Errorf("logged %+v", e)
		}
		d.open(d.recovery(policy.MailCode))
		d.Upkeep(t.Context())
		if len(d.told) != 1 || !d.told[0].Right || d.told[0].Evidence[0].Type != evidence.TypeManual {
			t.Fatalf("told %+v", d.told)
		}
		d.open(d.recovery(policy.MailCode))
		d.Upkeep(t.Context())
		if len(d.told) != 1 {
			t.Error("a second recovery counted it too")
		}
		if p := d.past(); len(p) != 1 || p[0].Recovery == "" || p[0].Choice.ID() != byMail {
			t.Errorf("the list %+v", p)
		}
		d.must(d.say("ann"))
		d.clock.Add(int64(61 * time.Minute))
		d.open(d.recovery(policy.MailCode))
		d.Upkeep(t.Context())
		if slices.ContainsFunc(d.told[1:], func(v verify.Verdict) bool { return v.Right }) {
			t.Error("after an hour it still counted")
		}
	})
}

// P07: of many recoveries that come to it at once, one counts it.
func TestP07_OneRecoveryCountsIt(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.must(d.say("ann"))
		var wg sync.WaitGroup
		for range 30 {
			s := d.recovery(policy.MailCode)
			wg.Go(func() {
				for range 100 { // a busy store refuses, and the flow asks again
					if _, err := d.Open(t.Context(), s); err == nil {
						return
					}
				}
				t.Error("could not be opened")
			})
		}
		wg.Wait()
		d.Upkeep(t.Context())
		if len(d.told) != 1 {
			t.Errorf("%d recoveries counted it", len(d.told))
		}
	})
}

func TestWhatStaffSaidUnderAnotherPolicyDoesNotCount(t *testing.T) {
	for name, change := range map[string]func(d *desk) verify.Subject{
		"the policy is gone": func(d *desk) verify.Subject {
			d.methods.Default = d.methods.Default[1:]
			return d.recovery(policy.MailCode)
		},
		"its code is missing": func(d *desk) verify.Subject { return d.recovery() },
		"another operation": func(d *desk) verify.Subject {
			s := d.recovery(policy.MailCode)
			s.Action = protocol.ActionUnlock
			return s
		},
		"another account": func(d *desk) verify.Subject {
			s := d.recovery(policy.MailCode)
			s.Account = "8"
			return s
		},
		"who said it is gone": func(d *desk) verify.Subject {
			d.must(d.Store.Tx(d.t.Context(), func(tx *store.Tx) error { return tx.RemoveStaff(d.t.Context(), d.Org.ID, d.people["ann"].ID) }))
			return d.recovery(policy.MailCode)
		},
		"who said it is of other environments now": func(d *desk) verify.Subject {
			d.must(d.Store.Tx(d.t.Context(), func(tx *store.Tx) error {
				_, err := tx.SetStaffEnvs(d.t.Context(), d.Org.ID, d.people["ann"].ID, []string{"another"})
				return err
			}))
			return d.recovery(policy.MailCode)
		},
		"it was taken back": func(d *desk) verify.Subject {
			d.must(d.Revoke(d.t.Context(), d.Env.ID, d.past()[0].ID, "a voice like hers", d.people["admin"]))
			return d.recovery(policy.MailCode)
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, d *desk) {
				d.must(d.say("ann"))
				d.open(change(d))
				d.Upkeep(t.Context())
				if len(d.told) != 0 {
					t.Errorf("told %+v", d.told)
				}
			})
		})
	}
}

// T17: nobody verifies themselves, nobody decides about somebody above them, and nobody
// new decides at all.
func TestT17_WhoMayVerifyWhom(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.hire("new", store.Staff{Mail: "new@example.com", Role: "admin", CountsAt: d.Store.Now().Add(time.Hour)})
		d.hire("self", store.Staff{Mail: "other@example.com", Role: "owner", Directory: d.Directory.ID, Account: "7"})
		remove := func(name string) {
			d.must(d.Store.Tx(t.Context(), func(tx *store.Tx) error { return tx.RemoveStaff(t.Context(), d.Org.ID, d.people[name].ID) }))
		}
		check := func(about string, want map[string]bool) {
			t.Helper()
			for who, may := range want {
				err := d.say(who)
				if may && err != nil || !may && !errors.Is(err, ErrMayNot) {
					t.Errorf("%s: %s: %v", about, who, err)
				}
			}
		}
		check("an owner's account", map[string]bool{"owner": true, "admin": false, "ann": false, "self": false, "new": false})
		remove("self")
		d.hire("vouches", store.Staff{Mail: "kim@example.com"})
		check("the account of somebody who vouches", map[string]bool{"owner": true, "admin": true, "ann": false})
		remove("vouches")
		d.sensitive = true
		check("a group that asks for more", map[string]bool{"owner": true, "admin": true, "ann": false})
		d.sensitive = false
		d.hire("here", store.Staff{Mail: "here@example.com", Role: "user", Envs: []string{"another", d.Env.ID}})
		d.hire("elsewhere", store.Staff{Mail: "elsewhere@example.com", Role: "admin", Envs: []string{"another"}})
		check("an ordinary account", map[string]bool{"owner": true, "admin": true, "ann": true, "reader": false, "new": false, "here": true, "elsewhere": false})
		d.people["nobody"] = Actor{Role: "owner", System: "console"}
		check("by a link that names nobody", map[string]bool{"nobody": false})
		id, number := d.open(d.recovery())                                         // what was said before is for somebody with a code
		d.hire("private", store.Staff{Mail: "kim@private.example", Role: "owner"}) // an address that only the agent knows
		if err := d.Decide(t.Context(), d.Env.ID, id, Word{Number: number, Seen: word.Seen, Reason: "me"}, d.people["private"]); !errors.Is(err, ErrMayNot) {
			t.Errorf("decided about themselves: %v", err)
		}
		if list, err := d.Waiting(t.Context(), d.Env.ID, d.people["private"]); err != nil || len(list) != 0 {
			t.Errorf("sees their own: %+v, %v", list, err)
		}
		if list, err := d.Waiting(t.Context(), d.Env.ID, d.people["elsewhere"]); err != nil || len(list) != 0 {
			t.Errorf("somebody of another environment sees who waits: %+v, %v", list, err)
		}
	})
}

// Active Directory lists accounts without groups, so when somebody says something before,
// nobody knows that the account is one of the board: the recovery does.
func TestT17_GroupsThatOnlyTheAgentKnowsDecideWhatWasSaidBefore(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.board = "Board"
		counted := func(groups ...string) bool {
			t.Helper()
			d.told = nil
			s := d.recovery(policy.MailCode)
			s.Groups = policy.GroupsNamed(groups)
			d.open(s)
			d.Upkeep(t.Context())
			return len(d.told) == 1 && d.told[0].Right
		}
		d.must(d.say("ann"))
		if counted("Staff", "Board") {
			t.Error("counted although the help desk may not decide about the board")
		}
		if !counted("Staff") {
			t.Error("did not count for an ordinary account")
		}
		d.must(d.say("admin"))
		d.methods.Rules = []policy.MethodRule{{Group: &policy.Group{Name: "Board"}, Accept: []policy.Combination{{policy.Passkey, policy.Manual}}}}
		if counted("Board") {
			t.Error("counted under a combination that the rule of the group does not accept")
		}
		d.methods.Rules[0].Accept[0] = policy.Combination{policy.MailCode, policy.Manual}
		if !counted("Board") {
			t.Error("what an administrator said of a member of the board did not count")
		}
	})
}

func TestARecoveryWaitsForStaffWhoMatchANumber(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		s := d.recovery(policy.MailCode)
		if !d.Usable(t.Context(), s) {
			t.Fatal("not usable")
		}
		id, number := d.open(s)
		if again, same := d.open(s); again != id || same != number {
			t.Error("asked twice, another request")
		}
		list, err := d.Waiting(t.Context(), d.Env.ID, d.people["ann"])
		if err != nil || len(list) != 1 || list[0].Name != "Kim" || list[0].Tries != numberTry {
			t.Fatalf("%+v, %v", list, err)
		}
		w := Word{Number: "99", Seen: word.Seen, Reason: "called back"}
		if number == "99" {
			w.Number = "98"
		}
		for range numberTry {
			if err := d.Decide(t.Context(), d.Env.ID, id, w, d.people["ann"]); !errors.Is(err, ErrNumber) {
				t.Errorf("another number: %v", err)
			}
		}
		w.Number = number
		if err := d.Decide(t.Context(), d.Env.ID, id, w, d.people["ann"]); !errors.Is(err, ErrTooMany) {
			t.Errorf("a fourth number: %v", err)
		}
		d.must(d.Decide(t.Context(), d.Env.ID, id, w, d.people["admin"]))
		if len(d.told) != 1 || !d.told[0].Right {
			t.Fatalf("told %+v", d.told)
		}
		if len(d.mails) != 2 { // the account's and the one that the agent read
			t.Errorf("the owner was told %+v", d.mails)
		}
		if err := d.Decide(t.Context(), d.Env.ID, id, w, d.people["owner"]); !errors.Is(err, ErrGone) {
			t.Errorf("decided twice: %v", err)
		}
	})
}

func TestStaffWhoSayNoEndIt(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		id, _ := d.open(d.recovery(policy.MailCode))
		if err := d.Deny(t.Context(), d.Env.ID, id, " ", d.people["ann"]); !errors.Is(err, ErrAnswer) {
			t.Errorf("without a reason: %v", err)
		}
		d.must(d.Deny(t.Context(), d.Env.ID, id, "she knows nothing of it", d.people["ann"]))
		if len(d.told) != 1 || d.told[0].Right || len(d.audited(audit.ManualDenied)) != 1 {
			t.Errorf("told %+v", d.told)
		}
	})
}

// A no that nobody waited for yet is told to whoever asks again; it is not asked away, and
// nothing is left for staff to say yes to.
func TestANoIsNotAskedAway(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		s := d.recovery(policy.MailCode)
		id, _ := d.open(s)
		d.gone = true
		d.must(d.Deny(t.Context(), d.Env.ID, id, "she knows nothing of it", d.people["ann"]))
		d.clock.Add(int64(5 * time.Minute))
		d.Upkeep(t.Context())
		if again, _ := d.open(s); again != id {
			t.Error("asked anew after a no")
		}
		d.gone = false
		d.Upkeep(t.Context())
		list, err := d.Waiting(t.Context(), d.Env.ID, d.people["ann"])
		if len(d.told) != 1 || d.told[0].Right || len(list) != 0 || err != nil {
			t.Errorf("told %+v, %d wait, %v", d.told, len(list), err)
		}
	})
}

func TestAVerificationIsTakenBackOnceWithAReason(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		d.must(d.say("ann"))
		s := d.recovery(policy.MailCode)
		d.open(s)
		id := d.past()[0].ID
		if err := d.Revoke(t.Context(), d.Env.ID, id, "", d.people["admin"]); !errors.Is(err, ErrAnswer) {
			t.Errorf("without a reason: %v", err)
		}
		d.must(d.Revoke(t.Context(), d.Env.ID, id, "a voice like hers", d.people["admin"]))
		if len(d.withdrawn) != 1 || !strings.HasPrefix(d.withdrawn[0], "manual of ") || len(d.revoked) != 1 || d.revoked[0].Reason != "a voice like hers" {
			t.Errorf("withdrawn %q, told %+v", d.withdrawn, d.revoked)
		}
		if err := d.Revoke(t.Context(), d.Env.ID, id, "again", d.people["admin"]); !errors.Is(err, ErrGone) {
			t.Errorf("twice: %v", err)
		}
		d.Upkeep(t.Context()) // what the flow had not heard of yet
		if len(d.told) != 1 || d.told[0].Right {
			t.Errorf("told %+v", d.told)
		}
		if e := d.audited(audit.ManualRevoked); len(e) != 1 || e[0].Personal["staff"] != "admin" || e[0].Personal["taken_back"] != "a voice like hers" {
			t.Errorf("logged %+v", e)
		}
		if m := d.mails[len(d.mails)-1]; !m.Revoked || m.By != "admin" {
			t.Errorf("the owner was told %+v", m)
		}
	})
}

func TestADecoyAsksNobodyAndNobodyIsAskedWhereNobodyMay(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		c, err := d.Open(t.Context(), verify.Subject{Env: d.Env.ID, Directory: d.Directory.ID})
		if err != nil || c.Case != "" || !strings.Contains(string(c.Ask), "number") {
			t.Errorf("%+v, %v", c, err)
		}
		for name := range d.people {
			d.must(d.Store.Tx(t.Context(), func(tx *store.Tx) error {
				if name == "reader" {
					return nil
				}
				return tx.RemoveStaff(t.Context(), d.Org.ID, d.people[name].ID)
			}))
		}
		if d.Usable(t.Context(), d.recovery()) {
			t.Error("usable without anybody who may decide")
		}
	})
}

func TestAWordSaysWhatAndWhy(t *testing.T) {
	each(t, func(t *testing.T, d *desk) {
		for name, w := range map[string]Word{
			"nothing seen":     {Choice: byMail, Reason: "x"},
			"no reason":        {Choice: byMail, Seen: word.Seen, Reason: " "},
			"unknown sight":    {Choice: byMail, Seen: []string{"a dream"}, Reason: "x"},
			"a long reason":    {Choice: byMail, Seen: word.Seen, Reason: strings.Repeat("x", maxReason+1)},
			"no such policy":   {Choice: "password:manual", Seen: word.Seen, Reason: "x"},
			"without a method": {Choice: Choice{protocol.ActionPassword, policy.Combination{policy.Passkey}}.ID(), Seen: word.Seen, Reason: "x"},
		} {
			if err := d.Verify(t.Context(), d.Env.ID, d.account.ID, w, d.people["ann"]); !errors.Is(err, ErrAnswer) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
