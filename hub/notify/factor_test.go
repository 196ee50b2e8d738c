package notify

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

func TestT17_EveryOldAddressHearsOfAChangeAndHowToObject(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{})
	n := b.notifier(t)
	for _, language := range []string{"en", "de"} {
		for _, change := range []string{"added", "removed", "used"} {
			for _, kind := range []string{"passkey", "totp", "saved_code", "mail", "phone"} {
				of := b.notice()
				f := Factor{Env: b.env, Account: of.Account, Contacts: of.Contacts, Change: change, Kind: kind, Name: "my\r\nBcc: evil@example.com phone",
					Counts: time.Date(2031, 1, 5, 3, 4, 0, 0, time.UTC), At: of.At, Client: of.Client, Device: of.Device, Language: language, Origin: of.Origin,
					Token: of.Token, Until: of.Until}
				before := len(b.mail.Messages())
				if err := b.store.Tx(t.Context(), func(tx *store.Tx) error { return n.QueueFactor(t.Context(), tx, f) }); err != nil {
					t.Fatal(err)
				}
				if err := n.sendDue(t.Context()); err != nil {
					t.Fatal(err)
				}
				all := b.mail.Messages()
				if len(all)-before != 2 {
					t.Fatalf("%d mails, want one to each address", len(all)-before)
				}
				m := all[0]
				for _, want := range []string{"Anna Berg", "192.0.2.7", "/not-me?token=canary"} {
					if !strings.Contains(m.Text, want) {
						t.Errorf("%s %s %s: the text lacks %q: %s", language, change, kind, want, m.Text)
					}
				}
				if strings.Contains(m.Text, "{") || strings.Contains(m.Text+m.Subject, "mail.factor") || change == "added" && !strings.Contains(m.Text, "2031") {
					t.Errorf("%s %s %s: %s: %s", language, change, kind, m.Subject, m.Text)
				}
				if len(m.To) != 1 || len(m.Header["Bcc"]) > 0 {
					t.Errorf("to %v", m.To)
				}
			}
		}
	}
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error {
		return n.QueueFactor(t.Context(), tx, Factor{Env: b.env, Change: "added", Kind: "totp", Contacts: protocol.Contacts{Mail: []string{"x"}}})
	})
	if !errors.Is(err, ErrNoAddress) {
		t.Errorf("without an address: %v", err)
	}
}
