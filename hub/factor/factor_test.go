package factor_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/passkey"
	"github.com/postern-id/postern/hub/verify/savedcode"
	"github.com/postern-id/postern/hub/verify/totp"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

func TestMain(m *testing.M) { testenv.Run(m) }

const site = "https://recover.example.com"

// stack is factors on a real store, with a clock that the test moves.
type stack struct {
	*factor.Factors
	t       *testing.T
	store   *store.Store
	ahead   atomic.Int64
	owner   factor.Owner
	methods policy.Methods

	mu      sync.Mutex
	codes   map[string]string // by address
	notices []factor.Notice
}

func (s *stack) now() time.Time          { return time.Now().Add(time.Duration(s.ahead.Load())) }
func (s *stack) advance(d time.Duration) { s.ahead.Add(int64(d)) }

// SendCode keeps the code that was sent.
func (s *stack) SendCode(_ context.Context, m factor.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[m.To] = m.Code.Reveal()
	return nil
}

// On says that there are text messages.
func (s *stack) On(context.Context, string) bool { return true }

// QueueFactor keeps the notice, as an outbox does.
func (s *stack) QueueFactor(_ context.Context, _ *store.Tx, n factor.Notice) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notices = append(s.notices, n)
	return nil
}

func (s *stack) Wake() {}

func (s *stack) last() factor.Notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.notices) == 0 {
		s.t.Fatal("nobody was told")
	}
	return s.notices[len(s.notices)-1]
}

func newStack(t *testing.T, c store.Config) *stack {
	t.Helper()
	s := &stack{t: t, codes: map[string]string{}, methods: policy.Methods{Default: []policy.Combination{{policy.MailCode}, {policy.Passkey}}}}
	c.Now = s.now
	s.store = storetest.Open(t, c)
	f := storetest.Seed(t, s.store)
	f.Accounts(t, s.store, protocol.Account{ID: "ada", Name: "Ada", Identifiers: []string{"ada@example.com"}})
	s.Factors = factor.New(factor.Config{Store: s.store, Mail: s, SMS: s, Notices: s,
		Rules: func(context.Context, *store.Tx, string, string, string) (policy.Methods, []policy.Group, error) {
			return s.methods, nil, nil
		}})
	s.owner = factor.Owner{Env: f.Env.ID, Directory: f.Directory.ID, Account: "ada", Name: "Ada", Recovery: "r", Verification: "v",
		Origin: site, RPID: "recover.example.com", Proven: []string{"mail_code"}, Roots: [][]string{{"mail_code"}}, Identifiers: []string{"ada@example.com"},
		Contacts: protocol.Contacts{Mail: []string{"ada@home.example"}, Primary: []string{"ada@example.com"}}}
	return s
}

func (s *stack) subject() verify.Subject {
	return verify.Subject{Env: s.owner.Env, Directory: s.owner.Directory, Account: s.owner.Account, Name: "Ada", Verification: "v2",
		Recovery: protocol.RecoveryID(make([]byte, 16), make([]byte, 16)), Action: protocol.ActionPassword, Origin: site, RPID: s.owner.RPID,
		Context: protocol.Context{1, 2, 3}, Contacts: s.owner.Contacts}
}

// enrol makes a passkey as a browser does.
func (s *stack) enrol(label string) *evidencetest.Authenticator {
	s.t.Helper()
	a := evidencetest.NewAuthenticator(site)
	id, ask, err := s.BeginPasskey(s.t.Context(), s.owner)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.FinishPasskey(s.t.Context(), s.owner, id, label, a.Register(challengeOf(s.t, ask))); err != nil {
		s.t.Fatal(err)
	}
	return a
}

func challengeOf(t *testing.T, ask json.RawMessage) [32]byte {
	t.Helper()
	var q struct{ Challenge string }
	if err := json.Unmarshal(ask, &q); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(q.Challenge)
	if err != nil || len(raw) != 32 {
		t.Fatal(q.Challenge, err)
	}
	return [32]byte(raw)
}

func TestT17_APasskeyCountsAfterSeventyTwoHoursAndEveryOldAddressIsTold(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := newStack(t, c)
		a := s.enrol("my phone")
		n := s.last()
		if n.Change != factor.Added || n.Kind != factor.Passkey || n.Label != "my phone" || n.Contacts.Mail[0] != "ada@home.example" || n.Token.Reveal() == "" {
			t.Errorf("told %+v", n)
		}
		if want := s.now().Add(factor.Wait); n.Counts.Sub(want).Abs() > time.Minute {
			t.Errorf("counts from %s, want %s", n.Counts, want)
		}
		v := passkey.New(s)
		try := func() bool {
			got, err := v.Check(t.Context(), s.subject(), s.subject().Context.String(), string(a.Assert(s.subject().Context)))
			if err != nil {
				t.Error(err)
			}
			return got.Right
		}
		if try() || v.Usable(t.Context(), s.subject()) {
			t.Error("it counts at once")
		}
		s.advance(factor.Wait - time.Minute)
		if try() {
			t.Error("it counts too early")
		}
		s.advance(2 * time.Minute)
		if !try() || !v.Usable(t.Context(), s.subject()) {
			t.Error("it does not count after 72 hours")
		}
		rows, err := s.List(t.Context(), s.owner)
		if err != nil || len(rows) != 1 || rows[0].UsedAt.IsZero() || rows[0].Waits {
			t.Errorf("%+v %v", rows, err)
		}
	})
}

func TestT17_AFactorOpensNothingThatItsEnrolmentWouldNotHave(t *testing.T) {
	s := newStack(t, storetest.SQLite(t))
	s.enrol("")
	s.advance(factor.Wait)
	mfa := s.subject()
	mfa.Action = protocol.ActionMFA
	s.methods.Rules = []policy.MethodRule{{Action: protocol.ActionMFA, Accept: []policy.Combination{{policy.Passkey}, {policy.DigitalCredential}}}}
	v := passkey.New(s)
	if !v.Usable(t.Context(), s.subject()) {
		t.Error("not for what mail opens")
	}
	if v.Usable(t.Context(), mfa) {
		t.Error("a key that mail enrolled clears authenticators, which mail may not")
	}
}

func TestT03_AnotherAccountsOrDomainsKeyIsNone(t *testing.T) {
	s := newStack(t, storetest.SQLite(t))
	a := s.enrol("")
	s.advance(factor.Wait)
	v := passkey.New(s)
	for name, change := range map[string]func(q *verify.Subject){
		"another account":   func(q *verify.Subject) { q.Account = "bob" },
		"a decoy":           func(q *verify.Subject) { q.Account = "" },
		"another domain":    func(q *verify.Subject) { q.RPID, q.Origin = "other.example.com", "https://other.example.com" },
		"another context":   func(q *verify.Subject) { q.Context = protocol.Context{9} },
		"no context":        func(q *verify.Subject) { q.Context = protocol.Context{} },
		"another env":       func(q *verify.Subject) { q.Env = store.NewID() },
		"another directory": func(q *verify.Subject) { q.Directory = store.NewID() },
	} {
		q := s.subject()
		change(&q)
		got, err := v.Check(t.Context(), q, q.Context.String(), string(a.Assert(s.subject().Context)))
		if got.Right || err != nil {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if got, _ := v.Check(t.Context(), s.subject(), "another challenge", string(a.Assert(s.subject().Context))); got.Right {
		t.Error("another challenge")
	}
	q := s.subject()
	if got, _ := v.Check(t.Context(), q, q.Context.String(), string(a.Assert(q.Context))); !got.Right || len(got.Evidence) != 1 || len(got.Evidence[0].Raw) == 0 {
		t.Errorf("%+v", got)
	}
}

func TestT30_WhatIsAskedBeforeTheProofSaysNothingOfTheAccount(t *testing.T) {
	s := newStack(t, storetest.SQLite(t))
	s.enrol("")
	s.advance(factor.Wait)
	known, decoy := s.subject(), s.subject()
	decoy.Account, decoy.Name = "", ""
	a, errA := passkey.New(s).Open(t.Context(), known)
	b, errB := passkey.New(s).Open(t.Context(), decoy)
	if errA != nil || errB != nil || string(a.Ask) != string(b.Ask) || !strings.Contains(string(a.Ask), `"allowCredentials":[]`) || !strings.Contains(string(a.Ask), `"userVerification":"required"`) {
		t.Errorf("%s / %s", a.Ask, b.Ask)
	}
}

func TestRegistrationsAreTakenOnceAndForTheirOwnChallenge(t *testing.T) {
	s := newStack(t, storetest.SQLite(t))
	ctx := t.Context()
	a := evidencetest.NewAuthenticator(site)
	id, ask, err := s.BeginPasskey(ctx, s.owner)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{
		"another challenge": a.Register([32]byte{}), "an assertion": a.Assert(challengeOf(t, ask)), "nothing": nil,
		"another origin": evidencetest.NewAuthenticator("https://evil.example").Register(challengeOf(t, ask)),
	} {
		if err := s.FinishPasskey(ctx, s.owner, id, "", raw); !errors.Is(err, factor.ErrWrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stranger := s.owner
	stranger.Account = "bob"
	if err := s.FinishPasskey(ctx, stranger, id, "", a.Register(challengeOf(t, ask))); !errors.Is(err, factor.ErrNotFound) {
		t.Errorf("for another account: %v", err)
	}
	if err := s.FinishPasskey(ctx, s.owner, id, "", a.Register(challengeOf(t, ask))); err != nil {
		t.Fatal(err)
	}
	if err := s.FinishPasskey(ctx, s.owner, id, "", a.Register(challengeOf(t, ask))); !errors.Is(err, factor.ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	again, ask, err := s.BeginPasskey(ctx, s.owner)
	if err != nil || !strings.Contains(string(ask), base64.RawURLEncoding.EncodeToString(a.ID)) {
		t.Errorf("the key is not excluded: %s %v", ask, err)
	}
	if err := s.FinishPasskey(ctx, s.owner, again, "", a.Register(challengeOf(t, ask))); !errors.Is(err, factor.ErrTaken) {
		t.Errorf("one credential twice: %v", err)
	}
}

func code(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	c, err := hotp.GenerateCodeCustom(secret, uint64(at.Unix()/30), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestP07_P10_ACodeOfAnAppIsRightOnceWithinAMinute(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := newStack(t, c)
		ctx := t.Context()
		set, err := s.BeginTOTP(ctx, s.owner)
		if err != nil || !strings.HasPrefix(set.URI, "otpauth://totp/") || !strings.Contains(set.URI, set.Secret) {
			t.Fatalf("%+v %v", set, err)
		}
		if err := s.Confirm(ctx, s.owner, set.ID, "app", "000 00x"); !errors.Is(err, factor.ErrWrong) {
			t.Errorf("wrong: %v", err)
		}
		if err := s.Confirm(ctx, s.owner, set.ID, "app", code(t, set.Secret, s.now())); err != nil {
			t.Fatal(err)
		}
		s.advance(factor.Wait)
		v := totp.New(s, s.now)
		at := s.now()
		for name, typed := range map[string]string{"two steps old": code(t, set.Secret, at.Add(-time.Minute)), "three steps ahead": code(t, set.Secret, at.Add(91*time.Second)), "letters": "abcdef"} {
			if got, err := v.Check(ctx, s.subject(), "", typed); got.Right || err != nil {
				t.Errorf("%s: %v %v", name, got, err)
			}
		}
		var right atomic.Int32
		var wg sync.WaitGroup
		typed := code(t, set.Secret, at)
		for range 200 {
			wg.Go(func() {
				got, err := v.Check(ctx, s.subject(), "", typed[:3]+" "+typed[3:])
				if err != nil {
					t.Error(err)
				}
				if got.Right {
					right.Add(1)
				}
			})
		}
		wg.Wait()
		if right.Load() != 1 {
			t.Errorf("%d of 200 are right", right.Load())
		}
		if got, _ := v.Check(ctx, s.subject(), "", code(t, set.Secret, at.Add(-30*time.Second))); got.Right {
			t.Error("an earlier step counts after a later one")
		}
	})
}

func TestP07_P10_ASavedCodeIsRightOnceAndIsReplacedOnce(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := newStack(t, c)
		ctx := t.Context()
		codes, err := s.NewCodes(ctx, s.owner)
		if err != nil || len(codes) != 6 || len(codes[0]) != 29 || codes[0] == codes[1] {
			t.Fatalf("%q %v", codes, err)
		}
		s.advance(factor.Wait)
		v := savedcode.NewVerifier(s)
		var right atomic.Int32
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				got, err := v.Check(ctx, s.subject(), "", strings.ToLower(strings.ReplaceAll(codes[2], "0", "o")))
				if err != nil {
					t.Error(err)
				}
				if got.Right {
					right.Add(1)
				}
			})
		}
		wg.Wait()
		if right.Load() != 1 || s.last().Change != factor.Used {
			t.Errorf("%d of 200 are right; told %s", right.Load(), s.last().Change)
		}
		rows, err := s.List(ctx, s.owner)
		if err != nil || len(rows) != 1 || rows[0].Left != 5 {
			t.Errorf("%+v %v", rows, err)
		}
		used := s.owner
		used.Verification = s.subject().Verification
		replacement, err := s.Replacement(ctx, used)
		if err != nil || len(replacement) != 29 {
			t.Fatalf("%q %v", replacement, err)
		}
		if again, err := s.Replacement(ctx, used); again != "" || err != nil {
			t.Errorf("shown twice: %q %v", again, err)
		}
		for typed, want := range map[string]bool{codes[2]: false, replacement: true, codes[3]: true, "": false, "ABCD": false} {
			if got, err := v.Check(ctx, s.subject(), "", typed); got.Right != want || err != nil {
				t.Errorf("%q: %v %v", typed, got, err)
			}
		}
	})
}

func TestARecoveryAddressCountsOnceItsCodeWasTypedThere(t *testing.T) {
	s := newStack(t, storetest.SQLite(t))
	ctx := t.Context()
	for typed, want := range map[string]error{
		"ADA@example.com": factor.ErrOwn, "nonsense": factor.ErrAddress, "a@b.example\r\nBcc: x@y.example": factor.ErrAddress, "<a@b.example>": factor.ErrAddress,
	} {
		if _, err := s.AddAddress(ctx, s.owner, factor.Mail, typed); !errors.Is(err, want) {
			t.Errorf("%q: %v", typed, err)
		}
	}
	id, err := s.AddAddress(ctx, s.owner, factor.Mail, " ada@new.example ")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := s.Confirm(ctx, s.owner, id, "", "00000000"); !errors.Is(err, factor.ErrWrong) {
			t.Errorf("wrong: %v", err)
		}
	}
	if err := s.Confirm(ctx, s.owner, id, "", s.codes["ada@new.example"]); !errors.Is(err, factor.ErrTooMany) {
		t.Errorf("P10, after five tries: %v", err)
	}
	id, err = s.AddAddress(ctx, s.owner, factor.Phone, "+49 (30) 123-4567")
	if err != nil || s.codes["+49301234567"] == "" {
		t.Fatal(err, s.codes)
	}
	late := s.codes["+49301234567"]
	s.advance(11 * time.Minute)
	if err := s.Confirm(ctx, s.owner, id, "", late); !errors.Is(err, factor.ErrWrong) {
		t.Errorf("after ten minutes: %v", err)
	}
	id, err = s.AddAddress(ctx, s.owner, factor.Mail, "ada@third.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Confirm(ctx, s.owner, id, "third", s.codes["ada@third.example"]); err != nil {
		t.Fatal(err)
	}
	if to := s.last().Contacts.Mail; len(to) != 1 {
		t.Errorf("told at %v: a new address must not hear of itself alone", to)
	}
	if _, err := s.AddAddress(ctx, s.owner, factor.Mail, "ada@fourth.example"); !errors.Is(err, factor.ErrTooMany) {
		t.Errorf("a fourth code within the hour: %v", err)
	}
	addresses := func() (mails []string) {
		t.Helper()
		err := s.store.Read(ctx, func(tx *store.Tx) error {
			found, _, err := s.Addresses(ctx, tx, s.owner.Env, s.owner.Directory, "ada", nil, protocol.ActionPassword)
			mails = found.To
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return mails
	}
	if got := addresses(); len(got) > 0 {
		t.Errorf("%v counts at once", got)
	}
	s.advance(factor.Wait)
	if got := addresses(); len(got) != 1 || got[0] != "ada@third.example" {
		t.Errorf("%v", got)
	}
	if err := s.Remove(ctx, s.owner, id); err != nil || s.last().Change != factor.Removed {
		t.Errorf("%v, told %s", err, s.last().Change)
	}
	if to := s.last().Contacts.Mail; len(to) != 2 {
		t.Errorf("T17: the removed address is not told: %v", to)
	}
}

func TestFactorsAreRenamedAndRemovedByTheirOwnerAlone(t *testing.T) {
	s := newStack(t, storetest.SQLite(t))
	ctx := t.Context()
	s.enrol("old")
	rows, err := s.List(ctx, s.owner)
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	for name, change := range map[string]func(o *factor.Owner){
		"account": func(o *factor.Owner) { o.Account = "bob" }, "directory": func(o *factor.Owner) { o.Directory = store.NewID() }, "environment": func(o *factor.Owner) { o.Env = store.NewID() },
	} {
		stranger := s.owner
		change(&stranger)
		if err := errors.Join(s.Rename(ctx, stranger, rows[0].ID, "mine"), s.Remove(ctx, stranger, rows[0].ID)); !errors.Is(err, factor.ErrNotFound) {
			t.Errorf("another %s: %v", name, err)
		}
		if _, err := s.Credential(ctx, stranger, rows[0].ID); !errors.Is(err, factor.ErrNotFound) {
			t.Errorf("credential of another %s: %v", name, err)
		}
	}
	if err := s.Rename(ctx, s.owner, rows[0].ID, " a\r\n new\tname "+strings.Repeat("x", 99)); err != nil {
		t.Fatal(err)
	}
	rows, _ = s.List(ctx, s.owner)
	if !strings.HasPrefix(rows[0].Label, "a new name x") || len(rows[0].Label) != 60 {
		t.Errorf("%q", rows[0].Label)
	}
}

func TestBeginningAnewLeavesNothingBehind(t *testing.T) {
	s := newStack(t, storetest.SQLite(t))
	for range 30 {
		if _, _, err := s.BeginPasskey(t.Context(), s.owner); err != nil {
			t.Fatal(err)
		}
		if _, err := s.BeginTOTP(t.Context(), s.owner); err != nil {
			t.Fatal(err)
		}
	}
	all, err := store.Get(t.Context(), s.store, func(tx *store.Tx) ([]store.Factor, error) {
		return tx.Factors(t.Context(), s.owner.Env, s.owner.Directory, s.owner.Account)
	})
	if err != nil || len(all) != 2 {
		t.Errorf("%d rows, %v", len(all), err)
	}
	for range 19 { // and the app that waits
		s.enrol("")
	}
	if _, _, err := s.BeginPasskey(t.Context(), s.owner); !errors.Is(err, factor.ErrTooMany) {
		t.Errorf("the twenty-first: %v", err)
	}
}

func TestQRCodesAreDrawnForEveryAddress(t *testing.T) {
	path, size, err := factor.QR("otpauth://totp/recover.example.com:Ada?secret=" + strings.Repeat("A", 32))
	if err != nil || size < 29 || !strings.HasPrefix(path, "M4 4h1v1h-1z") || strings.Trim(path, "MhvzH-0123456789 ") != "" {
		t.Errorf("%d %v %.40q", size, err, path)
	}
}

func FuzzPhoneNumber(f *testing.F) {
	f.Add("+49 30 1234567")
	f.Add("0049 (0)30")
	f.Fuzz(func(t *testing.T, typed string) {
		n, ok := factor.PhoneNumber(typed)
		if !ok {
			return
		}
		if again, ok := factor.PhoneNumber(n); !ok || again != n || n[0] != '+' || strings.Trim(n[1:], "0123456789") != "" {
			t.Fatalf("%q is %q", typed, n)
		}
	})
}

func FuzzLabel(f *testing.F) {
	f.Add(" my\r\nphone ")
	f.Fuzz(func(t *testing.T, typed string) {
		if l := factor.Label(typed); strings.ContainsAny(l, "\r\n\x00\t") || factor.Label(l) != l {
			t.Fatalf("%q is %q", typed, l)
		}
	})
}
