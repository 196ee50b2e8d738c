package store

import (
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"testing"
)

// TestP07_AnotherProcessThatWritesIsBelieved lets another process, such as the command line,
// end one exchange and remove the client of another while both wait to be written: nothing
// comes of either, and the log tells of what was answered.
func TestP07_AnotherProcessThatWritesIsBelieved(t *testing.T) {
	s, dir, party := remembering(t)
	ctx, d := t.Context(), s.db.(*sqliteDB)
	other := OIDCClient{Env: party.Env, Contract: "openid", Settings: []byte("other")}
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.AddOIDCClient(ctx, &other) }); err != nil {
		t.Fatal(err)
	}
	ended, err := signingIn(ctx, s, party, "one", "")
	orphan, err2 := signingIn(ctx, s, other, "one", "")
	if err := errors.Join(err, err2, d.flush()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, FileName)+"?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(ctx, nil) // the store cannot write from here on
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []OIDCExchange{ended, orphan} {
		if err := s.Early(ctx, goingOn(ctx, e, "one", "pushed", "asked")); err != nil {
			t.Error(err)
		}
	}
	_, err = tx.ExecContext(ctx, "UPDATE oidc_exchanges SET version = 7, state = 'spent' WHERE id = $1", ended.ID)
	_, err2 = tx.ExecContext(ctx, "DELETE FROM oidc_clients WHERE id = $1", other.ID)
	if err := errors.Join(err, err2, tx.Commit()); err != nil {
		t.Fatal(err)
	}
	for _, e := range []OIDCExchange{ended, orphan} {
		if err := s.Step(ctx, goingOn(ctx, e, "one", "asked", "code")); !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			t.Errorf("something came of it: %v", err)
		}
	}
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	for e, want := range map[*OIDCExchange][]string{&ended: {"spent"}, &orphan: nil} {
		if got := past(t, dir, stateOf, e.ID); !slices.Equal(got, want) {
			t.Errorf("it is %v, want %v", got, want)
		}
		if kinds := past(t, dir, kindsOf, e.ID); !slices.Equal(kinds, []string{"pushed", "asked"}) {
			t.Errorf("the log tells of %v", kinds)
		}
	}
}
