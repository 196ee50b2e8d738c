package admin

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/internal/testenv"
)

func TestMailTestPrintsWhatTheMailServerAnswered(t *testing.T) {
	var closed atomic.Bool
	mail := testenv.StartSMTP(t, mailbox.Config{Judge: func(string, []string) (int, string) {
		if closed.Load() {
			return 554, "5.7.1 Relay access denied"
		}
		return 0, ""
	}})
	startMailing(t, hub.SMTP{Host: mail.Addr(), From: "hub@example.com", TLS: hub.SMTPOff})
	if out := want(t, "mail", "test", "ada@home.example"); !strings.HasPrefix(out, mail.Addr()+" took the mail: 250 ") || len(mail.Messages()) != 1 {
		t.Errorf("%q", out)
	}
	if out := want(t, "mail", "test", "ada@home.example", "--json"); !strings.Contains(out, `"taken":true`) {
		t.Errorf("%q", out)
	}
	if out := want(t, "mail", "status"); !strings.Contains(out, "No mail is known") || !strings.Contains(out, "0 waiting") {
		t.Errorf("%q", out)
	}
	closed.Store(true)
	for range 3 {
		if _, _, err := run(t, "", "mail", "test", "ada@home.example"); err == nil || !strings.Contains(err.Error(), "(the recipient): 554 5.7.1 Relay access denied") || !strings.Contains(err.Error(), "password_file") {
			t.Errorf("%v", err)
		}
	}
	out, _, err := run(t, "", "mail", "test", "ada@home.example", "--json") // for a script, too, it failed
	if err == nil || !strings.Contains(err.Error(), "did not take the mail (the recipient)") || !strings.Contains(out, `"taken":false`) || !json.Valid([]byte(out)) {
		t.Errorf("%q, %v", out, err)
	}
	if out := want(t, "mail", "status"); !strings.Contains(out, "cannot send since") || !strings.Contains(out, "answer 554 5.7.1") {
		t.Errorf("%q", out)
	}
	if out := want(t, "audit", "list"); !strings.Contains(out, "recovery_mail_stuck") {
		t.Errorf("%q", out)
	}
}

func TestMailTestSaysThatThereIsNoMailServer(t *testing.T) {
	start(t)
	if _, _, err := run(t, "", "mail", "test", "ada@home.example"); err == nil || !strings.Contains(err.Error(), "set smtp in the Caddyfile") {
		t.Errorf("%v", err)
	}
	if out := want(t, "mail", "status"); !strings.Contains(out, "The hub has no mail server") {
		t.Errorf("%q", out)
	}
}
