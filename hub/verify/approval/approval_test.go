package approval

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

const origin = "https://recover.example.com"

// A rig is the method over a real store, with what it sends and settles written down.
type rig struct {
	storetest.Fixture
	t     *testing.T
	a     *Approvals
	rule  policy.People
	mails []Message
	told  []verify.Verdict
	keys  map[string]*evidencetest.Authenticator // by mail
	ids   map[string]string
	gone  bool // nobody waits for what people decided
	mu    sync.Mutex
}

func (g *rig) QueueApproval(_ context.Context, _ *store.Tx, m Message) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mails = append(g.mails, m)
	return nil
}

func (*rig) Wake() {}

func (g *rig) Settle(_ context.Context, _, _, method string, v verify.Verdict) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if method != "approval" {
		g.t.Errorf("settled as %s", method)
	}
	if g.gone {
		return verify.ErrNobody
	}
	g.told = append(g.told, v)
	return nil
}

func newRig(t *testing.T, s *store.Store, rule policy.People, staff ...store.Staff) *rig {
	g := &rig{Fixture: storetest.Seed(t, s), t: t, rule: rule, keys: map[string]*evidencetest.Authenticator{}, ids: map[string]string{}}
	g.Accounts(t, s, protocol.Account{ID: "7", Name: "Kim", Identifiers: []string{"kim@example.com"}})
	g.a = &Approvals{Store: s, Mail: g, Flow: g, Log: slog.New(slog.DiscardHandler), Rules: func(context.Context, *store.Tx, string, string) (policy.Methods, error) {
		return policy.Methods{Approvals: &g.rule}, nil
	}}
	for _, p := range staff {
		g.hire(p, time.Time{})
	}
	return g
}

// hire adds somebody with a passkey of the recovery domain.
func (g *rig) hire(p store.Staff, counts time.Time) {
	g.t.Helper()
	p.Org, p.ID = g.Org.ID, store.NewID()
	k := evidencetest.NewAuthenticator(origin)
	g.keys[p.Mail], g.ids[p.Mail] = k, p.ID
	err := g.a.Store.Tx(g.t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.AddStaff(g.t.Context(), &p), tx.AddStaffKey(g.t.Context(), &store.StaffKey{Org: p.Org, ID: store.NewID(), Staff: p.ID, RP: "recover.example.com",
			Credential: store.NewID(), Secret: mustJSON(k.Credential()), ActiveAt: counts}))
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

// subject is somebody whose verification is open.
func (g *rig) subject() verify.Subject {
	g.t.Helper()
	v := store.Verification{Env: g.Env.ID, ID: store.NewID(), Recovery: store.NewID(), State: "open", ExpiresAt: g.a.Store.Now().Add(time.Hour)}
	g.tx(func(tx *store.Tx) error { return tx.AddVerification(g.t.Context(), &v) })
	return verify.Subject{Env: g.Env.ID, Directory: g.Directory.ID, Verification: v.ID, Recovery: "r", Account: "7", Name: "Kim", Action: protocol.ActionPassword,
		Operation: "get_temporary_password", Context: protocol.Context{1, 2, 3}, Origin: origin, RPID: "recover.example.com", Until: time.Now().Add(time.Hour),
		Contacts: protocol.Contacts{Manager: "boss@example.com", Primary: []string{"kim@example.com"}}}
}

// about is subject for another account.
func (g *rig) about(account string) verify.Subject {
	s := g.subject()
	s.Account = account
	return s
}

// open asks, and returns the number and the tokens by address.
func (g *rig) open(s verify.Subject) (number string, tokens map[string]string) {
	g.t.Helper()
	g.mails = nil
	c, err := g.a.Open(g.t.Context(), s)
	if err != nil {
		g.t.Fatal(err)
	}
	var shown struct{ Number string }
	if err := json.Unmarshal(c.Ask, &shown); err != nil || len(shown.Number) != 2 {
		g.t.Fatalf("shown %s, %v", c.Ask, err)
	}
	tokens = map[string]string{}
	for _, m := range g.mails {
		tokens[m.To] = m.Token.Reveal()
	}
	return shown.Number, tokens
}

func (g *rig) approve(s verify.Subject, mail, token, number string) error {
	raw := g.keys[mail].Assert(evidence.ApprovalChallenge(s.Context, g.ids[mail]))
	return g.a.Approve(g.t.Context(), g.Env.ID, token, g.page(token), number, true, raw, Client{})
}

// page is the id of the request that a link shows; "" if it shows none.
func (g *rig) page(token string) string {
	r, _ := g.a.Request(g.t.Context(), g.Env.ID, token)
	return r.ID
}

var (
	boss = store.Staff{Name: "Boss", Mail: "boss@example.com"}
	ann  = store.Staff{Name: "Ann", Mail: "ann@example.com"}
	two  = policy.People{Staff: []string{"ann@example.com", "kim@example.com"}, Manager: true, Count: 2}
)

func TestTwoPeopleVouchAndTheAgentCanCheckBoth(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, two, boss, ann)
		sub := g.subject()
		if !g.a.Usable(t.Context(), sub) {
			t.Fatal("not usable")
		}
		number, tokens := g.open(sub)
		if again, _ := g.open(sub); again != number {
			t.Error("asked twice, another number")
		}
		r, err := g.a.Request(t.Context(), g.Env.ID, tokens["ann@example.com"])
		if err != nil || r.Name != "Kim" || r.Action != protocol.ActionPassword || !r.Open || strings.Contains(string(r.Ask), "number") {
			t.Fatalf("request %+v, %v", r, err)
		}
		if err := g.approve(sub, "ann@example.com", tokens["ann@example.com"], number); err != nil {
			t.Fatal(err)
		}
		if len(g.told) != 0 {
			t.Fatal("one person was enough")
		}
		if err := g.approve(sub, "boss@example.com", tokens["boss@example.com"], number); err != nil {
			t.Fatal(err)
		}
		if len(g.told) != 1 || !g.told[0].Right || len(g.told[0].Evidence) != 2 {
			t.Fatalf("told %+v", g.told)
		}
		for _, e := range g.told[0].Evidence {
			_, err := evidence.CheckApproval(e.Raw, sub.Context, evidence.Anchors{Origins: []string{origin}}, func(approver string, id []byte) (evidence.Credential, bool) {
				for mail, k := range g.keys {
					if g.ids[mail] == approver {
						return k.Credential(), true
					}
				}
				return evidence.Credential{}, false
			})
			if err != nil {
				t.Error(err)
			}
		}
		g.a.Upkeep(t.Context())
		if len(g.told) != 1 {
			t.Error("told twice")
		}
	})
}

// 200 approvals of one person at once count once (P07), so m of n are persons (T07).
func TestP07_ParallelApprovalsOfOnePersonCountOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, two, boss, ann)
		sub := g.subject()
		number, tokens := g.open(sub)
		raw := g.keys["ann@example.com"].Assert(evidence.ApprovalChallenge(sub.Context, g.ids["ann@example.com"]))
		shown := g.page(tokens["ann@example.com"])
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if g.a.Approve(t.Context(), g.Env.ID, tokens["ann@example.com"], shown, number, true, raw, Client{}) == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || len(g.told) != 0 {
			t.Errorf("%d approvals counted, told %d times", won.Load(), len(g.told))
		}
	})
}

func TestP10_NumbersAreCountedAcrossEverything(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)), policy.People{Manager: true, Count: 1}, boss)
	sub := g.subject()
	number, tokens := g.open(sub)
	for range numberTry {
		if err := g.approve(sub, "boss@example.com", tokens["boss@example.com"], "00"); !errors.Is(err, ErrNumber) {
			t.Fatal(err)
		}
	}
	if err := g.approve(sub, "boss@example.com", tokens["boss@example.com"], number); !errors.Is(err, ErrTooMany) {
		t.Errorf("after %d wrong ones: %v", numberTry, err)
	}
	if len(g.told) != 0 {
		t.Error("it counted")
	}
}

func TestT07_WhatDoesNotCountAsAnApproval(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)), policy.People{Manager: true, Staff: []string{"ann@example.com"}, Count: 2}, boss, ann)
	sub := g.subject()
	number, tokens := g.open(sub)
	mail := "ann@example.com"
	other := sub
	other.Context[0]++
	far := *g.keys[mail]
	far.Origin = "https://recover.example.com.evil.example"
	console := *g.keys[mail]
	console.Origin, console.RPID = "https://id.example.com", "id.example.com"
	challenge := evidence.ApprovalChallenge(sub.Context, g.ids[mail])
	for name, c := range map[string]struct {
		raw    []byte
		spoken bool
		want   error
	}{
		"not spoken to":           {g.keys[mail].Assert(challenge), false, ErrSpoken},
		"of another recovery":     {g.keys[mail].Assert(evidence.ApprovalChallenge(other.Context, g.ids[mail])), true, ErrKey},
		"somebody else's key":     {g.keys["boss@example.com"].Assert(challenge), true, ErrKey},
		"a look-alike site (T02)": {far.Assert(challenge), true, ErrKey},
		"a sign-in's RP id (T01)": {console.Assert(challenge), true, ErrKey},
		"as another approver":     {g.keys[mail].Assert(evidence.ApprovalChallenge(sub.Context, g.ids["boss@example.com"])), true, ErrKey},
		"no signature":            {[]byte(`{}`), true, ErrKey},
	} {
		err := g.a.Store.Tx(t.Context(), func(tx *store.Tx) error { // each case has its own tries
			_, err := tx.Exec(t.Context(), "UPDATE approval_asks SET tries = 0")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.a.Approve(t.Context(), g.Env.ID, tokens[mail], g.page(tokens[mail]), number, c.spoken, c.raw, Client{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(g.told) != 0 {
		t.Error("something counted")
	}
}

// Nobody approves for themselves, while suspended (T17), or with a key that is too new.
func TestT07_WhoIsNotAsked(t *testing.T) {
	until := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		staff store.Staff
		fresh bool
	}{
		"the account's owner, by address": {store.Staff{Name: "Kim", Mail: "kim@example.com"}, false},
		"the account's owner, by id":      {store.Staff{Name: "Kim", Mail: "ann@example.com", Directory: "dir", Account: "7"}, false},
		"nobody named them":               {store.Staff{Name: "Eve", Mail: "eve@example.com"}, false},
		"of another environment only":     {store.Staff{Name: "Ann", Mail: "ann@example.com", Envs: []string{"another"}}, false},
		"a key that does not count yet":   {ann, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, storetest.Open(t, storetest.SQLite(t)), policy.People{Staff: []string{"ann@example.com", "kim@example.com"}, Count: 1})
			if c.staff.Directory != "" {
				c.staff.Directory = g.Directory.ID
			}
			counts := time.Time{}
			if c.fresh {
				counts = until
			}
			g.hire(c.staff, counts)
			if g.a.Usable(t.Context(), g.subject()) {
				t.Error("is asked")
			}
		})
	}
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)), policy.People{Staff: []string{"ann@example.com"}, Count: 1}, ann)
	sub := g.subject()
	number, tokens := g.open(sub)
	err := g.a.Store.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.SuspendStaff(t.Context(), g.Env.ID, g.Directory.ID, "9", []string{"ann@example.com"}, until)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.approve(sub, "ann@example.com", tokens["ann@example.com"], number); !errors.Is(err, ErrGone) {
		t.Errorf("suspended: %v", err)
	}
	if g.a.Usable(t.Context(), g.subject()) {
		t.Error("suspended, and asked")
	}
}

func TestT25_WhoIsOfTheEnvironmentNoLongerAnswersNothing(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)), policy.People{Staff: []string{"ann@example.com"}, Count: 1}, ann)
	sub := g.subject()
	number, tokens := g.open(sub)
	g.tx(func(tx *store.Tx) error {
		_, err := tx.SetStaffEnvs(t.Context(), g.Org.ID, g.ids["ann@example.com"], []string{"another"})
		return err
	})
	if err := g.approve(sub, "ann@example.com", tokens["ann@example.com"], number); !errors.Is(err, ErrGone) {
		t.Errorf("agreed: %v", err)
	}
	if _, err := g.a.Request(t.Context(), g.Env.ID, tokens["ann@example.com"]); !errors.Is(err, ErrGone) {
		t.Errorf("is shown who asks: %v", err)
	}
}

func TestAnAlarmEndsTheRequestAndTellsTheOthers(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)), two, boss, ann, store.Staff{Name: "Olga", Mail: "olga@example.com", Role: "owner"})
	sub := g.subject()
	number, tokens := g.open(sub)
	g.mails = nil
	if err := g.a.Deny(t.Context(), g.Env.ID, tokens["ann@example.com"], "a page of another request", Client{}); !errors.Is(err, ErrGone) {
		t.Errorf("pressed on the page of another request: %v", err)
	}
	if err := g.a.Deny(t.Context(), g.Env.ID, tokens["ann@example.com"], g.page(tokens["ann@example.com"]), Client{}); err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range g.mails {
		told[m.To] = m.Alarm && m.Account == "Kim" && m.By == "Ann"
	}
	if len(told) != 2 || !told["boss@example.com"] || !told["olga@example.com"] {
		t.Errorf("told %v", told)
	}
	if len(g.told) != 1 || g.told[0].Right {
		t.Errorf("settled %+v", g.told)
	}
	if err := g.approve(sub, "boss@example.com", tokens["boss@example.com"], number); !errors.Is(err, ErrGone) {
		t.Errorf("approved after the alarm: %v", err)
	}
}

// Whoever is asked too often is not asked any more, so that nobody approves to be left alone.
func TestNobodyIsFlooded(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)), policy.People{Manager: true, Count: 1}, boss)
	for i := range maxOpen {
		s := g.about(fmt.Sprint("other ", i))
		s.Context[5] = byte(i)
		g.open(s)
	}
	if g.a.Usable(t.Context(), g.subject()) {
		t.Error("asked once more")
	}
	if _, err := g.a.Open(t.Context(), g.subject()); err == nil {
		t.Error("opened once more")
	}
}

// T31: one account, however often it is recovered, does not use up the hour of whoever vouches.
func TestT31_OneAccountLeavesRoomForTheOthers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s, policy.People{Manager: true, Count: 1}, boss)
		for range maxOfOne {
			sub := g.subject()
			g.open(sub)
			g.tx(func(tx *store.Tx) error { return tx.CloseWaiting(t.Context(), sub.Env, sub.Verification) })
		}
		if g.a.Usable(t.Context(), g.subject()) {
			t.Error("asked about the same account once more")
		}
		if !g.a.Usable(t.Context(), g.about("another")) {
			t.Error("not asked about another one")
		}
	})
}

func TestARequestEndsAndADecoyAsksNobody(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)), policy.People{Manager: true, Count: 1}, boss)
	s := g.subject()
	s.Until = time.Now().Add(-time.Second)
	number, tokens := g.open(s)
	if err := g.approve(s, "boss@example.com", tokens["boss@example.com"], number); !errors.Is(err, ErrGone) {
		t.Errorf("after the end: %v", err)
	}
	g.a.Upkeep(t.Context())
	if len(g.told) != 1 || g.told[0].Right {
		t.Errorf("told %+v", g.told)
	}
	d := g.subject()
	d.Account = ""
	if _, tokens := g.open(d); len(tokens) != 0 {
		t.Error("people are asked about nobody")
	}
	for i := range 20 {
		if _, err := g.a.Request(t.Context(), g.Env.ID, fmt.Sprint(i)); !errors.Is(err, ErrGone) {
			t.Fatal(err)
		}
	}
}

// Programs that look behind links of mails do no more than look.
func TestLookingAtARequestChangesNothing(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)), policy.People{Manager: true, Count: 1}, boss)
	sub := g.subject()
	number, tokens := g.open(sub)
	for range 50 {
		if r, err := g.a.Request(t.Context(), g.Env.ID, tokens["boss@example.com"]); err != nil || r.State != store.AskOpen || r.Tries != numberTry {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if _, err := g.a.Request(t.Context(), "another environment", tokens["boss@example.com"]); !errors.Is(err, ErrGone) {
		t.Errorf("in another environment: %v", err)
	}
	if err := g.approve(sub, "boss@example.com", tokens["boss@example.com"], number); err != nil || len(g.told) != 1 {
		t.Errorf("afterwards: %v, told %d times", err, len(g.told))
	}
}
