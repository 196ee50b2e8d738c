package flow_test

import (
	"errors"
	"testing"

	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// T11: what an agent asks for, and whom its guard keeps, is known before anybody else is
// told whose account somebody has.
func TestT11_TheAgentIsAskedBeforeAnAccountIsNamedElsewhere(t *testing.T) {
	s := newStack(t, storetest.SQLite(t), nil)
	s.person("ann")
	a, err := store.Get(t.Context(), s.store, func(tx *store.Tx) (store.Account, error) {
		return tx.AccountOf(t.Context(), s.fixture.Env.ID, s.fixture.Directory.ID, "ann")
	})
	if err != nil {
		t.Fatal(err)
	}
	word := func() operation.Word {
		t.Helper()
		w, err := s.WordOn(t.Context(), a, "https://recover.example.com")
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if w := word(); w != (operation.Word{}) {
		t.Errorf("an account like any other: %+v", w)
	}
	s.agent.set(func(a *testAgent) { a.terms = &protocol.Terms{Methods: [][]string{{"passkey"}}} })
	if w := word(); !w.Strict || w.Refused {
		t.Errorf("a strict one: %+v", w)
	}
	s.agent.set(func(a *testAgent) {
		a.findings["ann"] = protocol.Err(protocol.CodePermissionDenied, "an administrator")
	})
	if w := word(); !w.Refused {
		t.Errorf("one that the guard keeps: %+v", w)
	}
	s.agent.set(func(a *testAgent) { a.away = true })
	if _, err := s.WordOn(t.Context(), a, "https://recover.example.com"); !errors.Is(err, recovery.ErrUnavailable) {
		t.Errorf("nobody answers: %v", err)
	}
}
