package admin

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

func TestP10_AnAccountThatIsShutOutIsShownAndOpened(t *testing.T) {
	st := start(t)
	s := storetest.Open(t, store.Config{Dir: st.dir + "/data", MasterKey: masterKey(t, st.dir), Log: slog.New(slog.DiscardHandler)})
	d, err := store.Change(t.Context(), s, func(tx *store.Tx) (store.Directory, error) {
		d, err := tx.CreateDirectory(t.Context(), store.Directory{Env: st.Environment, Kind: "ldap", Name: "people"})
		soon := time.Now().Add(time.Hour)
		return d, errors.Join(err, tx.BlockRecovery(t.Context(), d.Env, d.ID, "7", soon),
			tx.SaveProofCounter(t.Context(), d.Env, "account:"+d.ID+"/7", "mail_code", "recovery", store.ProofCounter{Total: 10, CoolUntil: soon}))
	})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Fixture{Env: store.Environment{ID: st.Environment}, Directory: d}.Accounts(t, s, protocol.Account{ID: "7", Name: "Ada", Identifiers: []string{"ada@example.com"}})
	for _, step := range []struct {
		command   string
		says, not string
	}{
		{"recovery", "postern account reopen ada@example.com", "nothing"},
		{"recovery", "postern account unblock ada@example.com", "nothing"},
		{"reopen", "", "postern"},
		{"recovery", "postern account unblock ada@example.com", "reopen"},
		{"unblock", "", "postern"},
		{"recovery", "nothing keeps the account", "until"},
	} {
		if out := want(t, "account", step.command, "ada@example.com"); !strings.Contains(out, step.says) || strings.Contains(out, step.not) {
			t.Errorf("%s printed %q", step.command, out)
		}
	}
	if _, _, err := run(t, "", "account", "reopen", "nobody@example.com"); err == nil {
		t.Error("an account that is not there was opened")
	}
}
