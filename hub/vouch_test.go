package hub

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// An invitation that the API answers for has its link in a mail and nowhere else; that mails
// are sent, and to where, is known before.
func TestT18_WhoIsInvitedByMailIsMailedOrNotInvited(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s) // whose environment has no domain yet
	key, err := store.Change(t.Context(), s, func(tx *store.Tx) (store.APIKey, error) {
		return tx.CreateAPIKey(t.Context(), store.APIKey{Org: f.Org.ID, Name: "program", Hash: "h", Role: staff.Owner, Envs: []string{store.AllEnvs}, Enabled: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		smtp string
		mail string
		want error
	}{
		"without a mail server":             {"", "ann@example.com", staff.ErrMail},
		"to what is no address for mails":   {"smtp.example.com:25", "ann@[192.0.2.1]", staff.ErrPerson},
		"before there is a recovery domain": {"smtp.example.com:25", "ann@example.com", nil},
	} {
		n, err := notify.New(notify.Config{Store: s, Route: notify.Route{Host: c.smtp, From: "hub@example.com"}, Node: "edge1", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		members := staff.New(staff.Config{Store: s, Mail: doorbell{n}, Log: slog.New(slog.DiscardHandler), Console: func() string { return "https://id.example.com" }})
		waiting := 0
		err = s.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := members.InviteIn(t.Context(), tx, store.Staff{Org: f.Org.ID, Name: "Ann", Mail: c.mail, Role: staff.Admin, Envs: []string{store.AllEnvs}}, staff.Place{Origin: "https://id.example.com"}, everything(), audit.Principal{APIKey: key.ID})
			return err
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		if err := s.Read(t.Context(), func(tx *store.Tx) (err error) {
			waiting, err = tx.WaitingMails(context.WithoutCancel(t.Context()), f.Env.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if (waiting > 0) != (c.want == nil) {
			t.Errorf("%s: %d mails wait", what, waiting)
		}
		if err := s.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), "DELETE FROM mails")
			return errors.Join(err, forgetStaff(t.Context(), tx, f.Org.ID))
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// forgetStaff removes everybody.
func forgetStaff(ctx context.Context, tx *store.Tx, org string) error {
	all, err := tx.StaffList(ctx, org)
	for _, who := range all {
		err = errors.Join(err, tx.RemoveStaff(ctx, org, who.ID))
	}
	return err
}
