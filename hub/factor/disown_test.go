package factor_test

import (
	"slices"
	"testing"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/passkey"
	"github.com/postern-id/postern/protocol"
)

// kinds lists what the owner has.
func (s *stack) names() (names []string) {
	s.t.Helper()
	rows, err := s.List(s.t.Context(), s.owner)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range rows {
		names = append(names, r.Label)
	}
	return names
}

func (s *stack) idOf(label string) string {
	s.t.Helper()
	rows, err := s.List(s.t.Context(), s.owner)
	i := slices.IndexFunc(rows, func(r factor.Row) bool { return r.Label == label })
	if err != nil || i < 0 {
		s.t.Fatalf("no %s: %v", label, err)
	}
	return rows[i].ID
}

// in is what the owner proves and in which recovery.
func (s *stack) in(recovery string, roots [][]string, by ...string) {
	s.owner.Recovery, s.owner.Roots, s.owner.Factors = recovery, roots, by
}

func TestT17_AnAddressLendsWhatEnrolledItAndNotItsMethod(t *testing.T) {
	s := newStack(t, storetest.SQLite(t))
	s.methods = policy.Methods{Default: []policy.Combination{{policy.MailCode}, {policy.SMSCode}},
		Rules: []policy.MethodRule{{Action: protocol.ActionMFA, Accept: []policy.Combination{{policy.SMSCode}}}}}
	id, err := s.AddAddress(t.Context(), s.owner, factor.Phone, "+49 170 1234567")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Confirm(t.Context(), s.owner, id, "phone", s.codes["+491701234567"]); err != nil {
		t.Fatal(err)
	}
	s.advance(factor.Wait)
	read := func(a protocol.Action) (phones factor.Addresses) {
		t.Helper()
		err := s.store.Read(t.Context(), func(tx *store.Tx) (err error) {
			_, phones, err = s.Addresses(t.Context(), tx, s.owner.Env, s.owner.Directory, "ada", nil, a)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return phones
	}
	if got := read(protocol.ActionPassword); len(got.To) != 1 || got.Factors[0] != id || !slices.Equal(got.Roots[0], []policy.Method{policy.MailCode}) {
		t.Errorf("%+v", got)
	}
	if got := read(protocol.ActionMFA); len(got.To) > 0 {
		t.Errorf("a phone that mail enrolled clears authenticators by a text message: %+v", got)
	}
}

func TestT17_ThisWasNotMeRemovesWhatCountsAlreadyAndAllThatItLedTo(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := newStack(t, c)
		mail := [][]string{{"mail_code"}}
		s.in("mine", mail)
		a := s.enrol("mine")
		s.in("theirs", mail)
		thief := s.enrol("theirs")
		s.advance(factor.Wait)
		s.in("theirs-later", mail, s.idOf("theirs"))
		s.enrol("grandchild")
		s.advance(factor.Wait)
		s.in("other", mail)
		s.enrol("waits")
		told := len(s.notices)
		o := s.owner
		o.Recovery = "theirs"
		if err := s.store.Tx(t.Context(), func(tx *store.Tx) error { return s.Disown(t.Context(), tx, o) }); err != nil {
			t.Fatal(err)
		}
		if got := s.names(); !slices.Equal(got, []string{"mine"}) {
			t.Errorf("left: %v", got)
		}
		q, v := s.subject(), passkey.New(s)
		if got, _ := v.Check(t.Context(), q, q.Context.String(), string(thief.Assert(q.Context))); got.Right {
			t.Error("the thief's key opens the account")
		}
		if got, _ := v.Check(t.Context(), q, q.Context.String(), string(a.Assert(q.Context))); !got.Right {
			t.Error("the owner's key does not")
		}
		if n := len(s.notices) - told; n != 3 || s.last().Change != factor.Disowned {
			t.Errorf("told %d times, the last time of %s", n, s.last().Change)
		}
	})
}

func TestT17_WhatSomebodyElseAddedGoesWithAllThatTheyAdded(t *testing.T) {
	s := newStack(t, storetest.SQLite(t))
	mail := [][]string{{"mail_code"}}
	s.in("theirs", mail)
	s.enrol("first")
	s.enrol("second")
	s.advance(factor.Wait)
	s.in("mine", mail, s.idOf("second")) // a code that may have been read at an address of theirs
	s.enrol("new")
	if err := s.NotMine(t.Context(), s.owner, s.idOf("first")); err != nil {
		t.Fatal(err)
	}
	if got := s.names(); !slices.Equal(got, []string{"new"}) {
		t.Errorf("left: %v", got)
	}
	stranger := s.owner
	stranger.Account = "bob"
	if err := s.NotMine(t.Context(), stranger, s.idOf("new")); err != factor.ErrNotFound {
		t.Errorf("somebody else's: %v", err)
	}
}
