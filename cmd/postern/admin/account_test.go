package admin

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

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

// Cobra carries out the first of two commands of one name, and shows the help of the other.
func TestNoTwoCommandsHaveTheSameName(t *testing.T) {
	root := &cobra.Command{Use: "postern"}
	for _, row := range Commands() {
		c := &cobra.Command{Use: row.Name}
		row.CobraFunc(c)
		root.AddCommand(c)
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		seen := map[string]bool{}
		for _, sub := range c.Commands() {
			for _, name := range append(sub.Aliases, sub.Name()) {
				if seen[name] {
					t.Errorf("%s %s is there twice", c.CommandPath(), name)
				}
				seen[name] = true
			}
			walk(sub)
		}
	}
	walk(root)
}

// What an attribute is to be is no argument: everybody on the machine sees those.
func TestValuesOfAnAttributeComeOverStandardInput(t *testing.T) {
	st := start(t)
	s := storetest.Open(t, store.Config{Dir: st.dir + "/data", MasterKey: masterKey(t, st.dir), Log: slog.New(slog.DiscardHandler)})
	d, err := store.Change(t.Context(), s, func(tx *store.Tx) (store.Directory, error) {
		return tx.CreateDirectory(t.Context(), store.Directory{Env: st.Environment, Kind: "ldap", Name: "people"})
	})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Fixture{Env: store.Environment{ID: st.Environment}, Directory: d}.Accounts(t, s, protocol.Account{ID: "7", Name: "Ada", Identifiers: []string{"ada@example.com"}})
	set := func(stdin string, args ...string) string {
		_, said, err := run(t, stdin, append([]string{"account", "set-attribute", "ada@example.com", "telephoneNumber"}, args...)...)
		if err == nil {
			t.Fatalf("%q: no agent is there, and it went well", args)
		}
		return said + err.Error()
	}
	if said := set(""); !strings.Contains(said, "--clear") {
		t.Errorf("without a value: %s", said)
	}
	if said := set("", "+44 20 7946 0000"); !strings.Contains(said, "set-attribute ACCOUNT ATTRIBUTE [flags]") {
		t.Errorf("with one as an argument: %s", said)
	}
	for _, said := range []string{set("+44 20 7946 0000\n", "--dry-run"), set("", "--clear", "--dry-run")} {
		if !strings.Contains(said, "agent") {
			t.Errorf("the hub was not asked: %s", said)
		}
	}
	want(t, "account", "set", "ada@example.com", "--birth-date", "1970-12-31")
}
