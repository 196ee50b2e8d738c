package staff

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/audit/audittest"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

var console = Place{Origin: "https://id.example.com"}

// everywhere is what somebody of a role may give who reaches every environment.
func everywhere(role string) Reach { return Reach{role, []string{store.AllEnvs}} }

// An office is an organisation over a real store, with a clock of the test and the mails
// that were queued.
type office struct {
	storetest.Fixture
	*Members
	t     *testing.T
	store *store.Store
	clock atomic.Int64
	mu    sync.Mutex
	mails []Message
}

func (o *office) QueueStaff(_ context.Context, _ *store.Tx, m Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mails = append(o.mails, m)
	return nil
}

func (*office) Usable() bool { return true }
func (*office) Wake()        {}

func each(t *testing.T, test func(t *testing.T, o *office)) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		o := &office{t: t}
		c.Now = func() time.Time { return time.Now().Add(time.Duration(o.clock.Load())) }
		o.store = storetest.Open(t, c)
		audittest.Watch(t, o.store)
		o.Fixture = storetest.Seed(t, o.store)
		o.Members = New(Config{Store: o.store, Mail: o, Console: func() string { return console.Origin }})
		test(t, o)
	})
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// hire invites somebody to the console.
func (o *office) hire(mail, role string, by audit.Principal) (store.Staff, string) {
	o.t.Helper()
	who, link, err := o.Invite(o.t.Context(), store.Staff{Org: o.Org.ID, Name: mail, Mail: mail, Role: role}, console, everywhere(Owner), by)
	o.must(err)
	return who, link.Reveal()[len(console.Origin+ConsolePath+"#"):]
}

// come invites somebody who makes their passkey at once.
func (o *office) come(mail, role string) (store.Staff, *evidencetest.Authenticator) {
	o.t.Helper()
	who, token := o.hire(mail, role, audit.Principal{System: bySystem})
	key := evidencetest.NewAuthenticator(console.Origin)
	_, err := o.Join(o.t.Context(), console, token, key.Register(challengeOf(token)))
	o.must(err)
	return who, key
}

func (o *office) find(id string) store.Staff {
	o.t.Helper()
	who, err := store.Get(o.t.Context(), o.store, func(tx *store.Tx) (store.Staff, error) { return tx.Staff(o.t.Context(), o.Org.ID, id) })
	o.must(err)
	return who
}

func TestT17_AnAccountIsKnownAsSomebodysOwnByItsIDNotByItsAddress(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.Accounts(t, o.store, protocol.Account{ID: "7", Name: "Ann", Identifiers: []string{"Ann@example.com"}}, protocol.Account{ID: "8", Name: "Twin", Identifiers: []string{"twin@example.com"}},
			protocol.Account{ID: "9", Name: "Twin", Identifiers: []string{"twin@example.com"}})
		ann, _ := o.hire("ann@example.com", User, audit.Principal{})
		twin, _ := o.hire("twin@example.com", User, audit.Principal{})
		if ann.Directory != o.Directory.ID || ann.Account != "7" || o.find(ann.ID).Account != "7" {
			t.Errorf("ann owns %q %q", ann.Directory, ann.Account)
		}
		if twin.Account != "" {
			t.Errorf("of two accounts with one address one was taken: %q", twin.Account)
		}
		o.must(o.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.LinkStaff(t.Context(), o.Org.ID, twin.ID, o.Directory.ID, "gone") }))
		o.must(o.Upkeep(t.Context()))
		if got := o.find(ann.ID); got.Account != "7" || !got.Is(o.Directory.ID, "7", []string{"married@example.com"}) {
			t.Errorf("with another address it is nobody's: %+v", got)
		}
		if got := o.find(twin.ID); got.Account != "" {
			t.Errorf("an account that is gone is still %+v's", got)
		}
	})
}

// T18: whoever holds an administrator's sign-in cannot make the second reviewer that a
// rule asks for; the owners read of them a day before they count.
func TestT18_WhoIsNewInTheConsoleDecidesAfterADay(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		owner, _ := o.come("owner@example.com", Owner)
		if !owner.Decides(o.store.Now()) {
			t.Error("who was invited on the hub's machine waits")
		}
		o.mails = nil
		bob, _ := o.hire("bob@example.com", User, audit.Principal{OrgMember: "admin"})
		if bob.Decides(o.store.Now().Add(Trial-time.Minute)) || !bob.Decides(o.store.Now().Add(Trial+time.Minute)) {
			t.Errorf("counts at %s", bob.CountsAt)
		}
		var told bool
		for _, m := range o.mails {
			told = told || m.Kind == NewMember && m.To == owner.Mail && m.Who == bob.Name && m.Until.Equal(bob.CountsAt)
		}
		if !told {
			t.Errorf("the owner was not told: %+v", o.mails)
		}
		reader, _ := o.hire("reader@example.com", Limited, audit.Principal{OrgMember: "admin"})
		o.clock.Add(int64(48 * time.Hour))
		o.must(o.Change(t.Context(), console, o.Org.ID, reader.ID, Change{Role: User}, everywhere(Admin), audit.Principal{OrgMember: "admin"}))
		if got := o.find(reader.ID); got.Role != User || got.Decides(o.store.Now().Add(Trial-time.Minute)) {
			t.Errorf("a reader who was given more decides at once: %+v", got)
		}
		if got := o.find(bob.ID); !got.Decides(o.store.Now()) {
			t.Error("the wait does not end")
		}
	})
}

// T18: whoever holds an owner's sign-in makes themselves a second owner, and must not be rid
// of the others before those had their day to read of it.
func TestT18_WhoIsNewRemovesNoOwnerWhileTheyWait(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann, _ := o.come("ann@example.com", Owner)
		stolen := audit.Principal{OrgMember: ann.ID, Role: Owner}
		second, token := o.hire("second@example.org", Owner, stolen)
		_, err := o.Join(t.Context(), console, token, evidencetest.NewAuthenticator(console.Origin).Register(challengeOf(token)))
		o.must(err)
		by := audit.Principal{OrgMember: second.ID, Role: Owner}
		if err := o.Remove(t.Context(), o.Org.ID, ann.ID, everywhere(Owner), by); !errors.Is(err, ErrLast) {
			t.Errorf("the only owner who decides was removed: %v", err)
		}
		if err := o.Change(t.Context(), console, o.Org.ID, ann.ID, Change{Role: Limited}, everywhere(Owner), by); !errors.Is(err, ErrLast) {
			t.Errorf("the only owner who decides was demoted: %v", err)
		}
		o.clock.Add(int64(Trial + time.Minute))
		o.must(o.Change(t.Context(), console, o.Org.ID, ann.ID, Change{Role: Limited}, everywhere(Owner), by))
	})
}

// On the hub's own machine, where everything could be done anyway, nobody waits for an
// owner who waits.
func TestACommandRemovesAnOwnerForOneWhoWaits(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann, _ := o.come("ann@example.com", Owner)
		_, token := o.hire("ben@example.com", Owner, audit.Principal{OrgMember: ann.ID, Role: Owner})
		_, err := o.Join(t.Context(), console, token, evidencetest.NewAuthenticator(console.Origin).Register(challengeOf(token)))
		o.must(err)
		o.must(o.Remove(t.Context(), o.Org.ID, ann.ID, everywhere(Owner), audit.Principal{System: bySystem}))
	})
}

// T18: a promotion is news to the owners and a wait, whatever the role before; a lower role
// is neither, and a command changes roles at once.
func TestT18_WhoIsGivenMoreDecidesAfterADayWhateverTheyWere(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann, _ := o.come("ann@example.com", Owner)
		by := audit.Principal{OrgMember: ann.ID, Role: Owner}
		for _, c := range []struct {
			from, to string
			by       audit.Principal
			waits    bool
		}{
			{User, Admin, by, true}, {User, Owner, by, true}, {Admin, Owner, by, true}, {Limited, User, by, true},
			{Owner, Admin, by, false}, {Admin, User, by, false}, {User, User, by, false}, {Owner, Limited, by, false}, {Limited, LimitedPlus, by, false},
			{User, Owner, audit.Principal{System: bySystem}, false},
		} {
			who, _ := o.come(store.NewID()+"@example.com", c.from)
			o.mails = nil
			o.must(o.Change(t.Context(), console, o.Org.ID, who.ID, Change{Role: c.to}, everywhere(Owner), c.by))
			told := false
			for _, m := range o.mails {
				told = told || m.Kind == NewMember && m.To == ann.Mail && m.Who == who.Name && m.Role == c.to
			}
			got := o.find(who.ID)
			if got.Role != c.to || got.Decides(o.store.Now().Add(Trial-time.Minute)) == c.waits || !got.Decides(o.store.Now().Add(Trial+time.Minute)) || told != c.waits {
				t.Errorf("%s to %s by %+v: %s, counts at %s, told %v", c.from, c.to, c.by, got.Role, got.CountsAt, told)
			}
			o.must(o.Remove(t.Context(), o.Org.ID, who.ID, everywhere(Owner), by))
		}
	})
}

func TestTheLastOwnerIsNeitherRemovedNorDemoted(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann, _ := o.come("ann@example.com", Owner)
		pending, _ := o.hire("pending@example.com", Owner, audit.Principal{}) // never came in
		by := audit.Principal{System: bySystem}
		if err := o.Remove(t.Context(), o.Org.ID, ann.ID, everywhere(Owner), by); !errors.Is(err, ErrLast) {
			t.Errorf("the last owner was removed: %v", err)
		}
		if err := o.Change(t.Context(), console, o.Org.ID, ann.ID, Change{Role: Admin}, everywhere(Owner), by); !errors.Is(err, ErrLast) {
			t.Errorf("the last owner was demoted: %v", err)
		}
		o.must(o.Remove(t.Context(), o.Org.ID, pending.ID, everywhere(Owner), by))
		ben, _ := o.come("ben@example.com", Owner)
		o.must(o.store.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.SuspendStaff(t.Context(), o.Env.ID, o.Directory.ID, "1", []string{ben.Mail}, o.store.Now().Add(time.Hour))
			return err
		}))
		if err := o.Remove(t.Context(), o.Org.ID, ann.ID, everywhere(Owner), by); !errors.Is(err, ErrLast) {
			t.Errorf("only a suspended owner was left: %v", err)
		}
		o.clock.Add(int64(2 * time.Hour))
		if err := o.Change(t.Context(), console, o.Org.ID, ann.ID, Change{Role: Admin}, everywhere(Admin), by); !errors.Is(err, ErrRole) {
			t.Errorf("an administrator demoted an owner: %v", err)
		}
		o.must(o.Change(t.Context(), console, o.Org.ID, ann.ID, Change{Role: Admin}, everywhere(Owner), by))
	})
}

// Two owners who remove, or demote, each other at the same moment: one stays.
func TestP07_OfTwoOwnersWhoRemoveEachOtherAtOnceOneStays(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		for round := range 10 {
			o.come("ann@example.com", Owner)
			o.come("ben@example.com", Owner)
			all, err := store.Get(t.Context(), o.store, func(tx *store.Tx) ([]store.Staff, error) { return tx.StaffList(t.Context(), o.Org.ID) })
			o.must(err)
			var wg sync.WaitGroup
			results := make([]error, len(all))
			for i, who := range all {
				wg.Go(func() {
					if round%2 == 0 {
						results[i] = o.Remove(t.Context(), o.Org.ID, who.ID, everywhere(Owner), audit.Principal{})
					} else {
						results[i] = o.Change(t.Context(), console, o.Org.ID, who.ID, Change{Role: User}, everywhere(Owner), audit.Principal{})
					}
				})
			}
			wg.Wait()
			left := 0
			for i, err := range results {
				switch {
				case errors.Is(err, ErrLast):
					left++
				case err != nil:
					t.Fatal(err)
				}
				o.must(o.store.Tx(t.Context(), func(tx *store.Tx) error { // the next round begins anew
					err := tx.RemoveStaff(t.Context(), o.Org.ID, all[i].ID)
					if errors.Is(err, store.ErrNotFound) {
						return nil
					}
					return err
				}))
			}
			if left != 1 {
				t.Fatalf("round %d: %d owners stay: %v", round, left, results)
			}
		}
	})
}

func TestP07_AnInvitationAndAnAnswerWorkOnce(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		_, token := o.hire("ann@example.com", Admin, audit.Principal{})
		key := evidencetest.NewAuthenticator(console.Origin)
		raw := key.Register(challengeOf(token))
		if _, err := o.Join(t.Context(), Place{Origin: "https://recover.example.com"}, token, raw); err == nil {
			t.Error("an invitation of the console worked elsewhere")
		}
		if _, err := o.Join(t.Context(), console, token, raw); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Join(t.Context(), console, token, raw); !errors.Is(err, ErrGone) {
			t.Errorf("worked twice: %v", err)
		}
		state, _, err := o.SignIn(console)
		o.must(err)
		answer := key.Assert(stateChallenge(t, o.Members, state))
		if _, err := o.Enter(t.Context(), console, state, answer, "Browser", "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Enter(t.Context(), console, state, answer, "Browser", "192.0.2.1"); !errors.Is(err, ErrGone) {
			t.Errorf("signed in twice: %v", err)
		}
		other, _, err := o.SignIn(console)
		o.must(err)
		if _, err := o.Enter(t.Context(), console, other, answer, "Browser", "192.0.2.1"); !errors.Is(err, ErrKey) {
			t.Errorf("an answer to another challenge: %v", err)
		}
		o.clock.Add(int64(signInLife + time.Minute))
		if _, err := o.Enter(t.Context(), console, other, key.Assert(sha256.Sum256([]byte("x"))), "Browser", ""); !errors.Is(err, ErrGone) {
			t.Errorf("after ten minutes: %v", err)
		}
	})
}

// stateChallenge is what a browser would sign for a state.
func stateChallenge(t *testing.T, m *Members, state string) [32]byte {
	t.Helper()
	raw, _, err := m.stateIn(state)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(raw)
}

func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		for _, c := range []struct {
			role, gives string
			want        error
		}{{Admin, Owner, ErrRole}, {User, User, ErrRole}, {Owner, "king", ErrPerson}, {Owner, Approver, ErrRole}, {Admin, Admin, nil}} {
			_, _, err := o.Invite(t.Context(), store.Staff{Org: o.Org.ID, Name: "X", Mail: c.role + "-" + c.gives + "@example.com", Role: c.gives}, console, everywhere(c.role), audit.Principal{})
			if !errors.Is(err, c.want) {
				t.Errorf("%s invites %q: %v", c.role, c.gives, err)
			}
		}
	})
}

// T01: what somebody signs to decide one thing decides nothing else, and signs in nowhere.
func TestT01_ADecisionIsSignedOverExactlyWhatItIs(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ann, key := o.come("ann@example.com", User)
		_, other := o.come("ben@example.com", User)
		about := []byte("account 7, password, seen in person")
		state, _, err := o.Ask(t.Context(), console, o.Org.ID, ann.ID, about)
		o.must(err)
		raw, _, err := o.stateIn(state)
		o.must(err)
		answer := key.Assert(overDecision(raw, about))
		for name, try := range map[string]func() error{
			"another decision": func() error {
				return o.Confirm(t.Context(), console, o.Org.ID, ann.ID, state, []byte("account 8"), answer)
			},
			"another person": func() error {
				return o.Confirm(t.Context(), console, o.Org.ID, ann.ID, state, about, other.Assert(overDecision(raw, about)))
			},
			"a sign-in": func() error {
				_, err := o.Enter(t.Context(), console, state, answer, "", "")
				return err
			},
			"what signs in": func() error {
				return o.Confirm(t.Context(), console, o.Org.ID, ann.ID, state, about, key.Assert(sha256.Sum256(raw)))
			},
		} {
			if err := try(); !errors.Is(err, ErrKey) {
				t.Errorf("%s: %v", name, err)
			}
		}
		o.must(o.Confirm(t.Context(), console, o.Org.ID, ann.ID, state, about, answer))
		if err := o.Confirm(t.Context(), console, o.Org.ID, ann.ID, state, about, answer); !errors.Is(err, ErrGone) {
			t.Errorf("confirmed twice: %v", err)
		}
	})
}
