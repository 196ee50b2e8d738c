package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// newMailRig is a rig with a mail server of its own, over STARTTLS with a password.
func newMailRig(t *testing.T) (*rig, *mailbox.Server) {
	t.Helper()
	auth, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := auth.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	srv := testenv.StartSMTP(t, mailbox.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, User: "agent", Password: "pässword"})
	dir := t.TempDir()
	for name, text := range map[string][]byte{"ca.pem": auth.PEM, "password": []byte("pässword\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t, rulesOfTests)
	r.cfg.SMTP = SMTPConfig{
		Host: srv.Addr(), From: "Recovery <recovery@corp.example>", User: "agent", PasswordFile: filepath.Join(dir, "password"), CAFile: filepath.Join(dir, "ca.pem"),
	}
	r.restart(t)
	return r, srv
}

var eightDigits = regexp.MustCompile(`\b[0-9]{8}\b`)

// codeIn waits for the n-th mail and returns its code.
func codeIn(t *testing.T, srv *mailbox.Server, n int) (string, mailbox.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	m, err := srv.Wait(ctx, func(m mailbox.Message) bool { return m.ID == strconv.Itoa(n) })
	if err != nil {
		t.Fatal(err)
	}
	return eightDigits.FindString(m.Text), m
}

func (r *rig) send(t *testing.T, recovery string) (protocol.SentCode, error) {
	t.Helper()
	return ask[protocol.SentCode](t, r.service, protocol.MethodSendCode, protocol.SendCodeRequest{Recovery: recovery, Language: "de-AT"})
}

func (r *rig) typed(t *testing.T, recovery, code string) (protocol.CheckedCode, error) {
	t.Helper()
	return ask[protocol.CheckedCode](t, r.service, protocol.MethodCheckCode, protocol.CheckCodeRequest{Recovery: recovery, Code: code})
}

func TestCodeOfTheAgentOpensASensitiveAccount(t *testing.T) {
	r, srv := newMailRig(t)
	q, b := r.beginOn(t, accountID(15), reset) // finance
	if b.Finding != nil {
		t.Fatalf("finding = %v: a code can still come", b.Finding)
	}
	f := r.request(q, b)
	f.Evidence = []protocol.Evidence{{Type: "agent_code", Raw: []byte("says the hub")}}
	if out := r.performed(t, f); out.State != protocol.Failed {
		t.Fatalf("without a code: %+v", out)
	}
	sent, err := r.send(t, f.Members.Recovery)
	if err != nil || len(sent.Masked) != 1 || sent.Masked[0] != "u•••@home.example" {
		t.Fatalf("sent = %+v, %v", sent, err)
	}
	code, m := codeIn(t, srv, 1)
	if !m.TLS || !m.SignedIn || m.Subject != "Ihr Wiederherstellungscode" || strings.Contains(m.Subject, code) || !strings.Contains(m.Text, "recover.example.com") ||
		m.To[0] != "user15@home.example" {
		t.Errorf("mail = %+v", m)
	}
	if c, err := r.typed(t, f.Members.Recovery, "99999999"); err != nil || c.OK || c.Tries != codeTries-1 {
		t.Errorf("wrong code = %+v, %v", c, err)
	}
	if c, err := r.typed(t, f.Members.Recovery, code); err != nil || !c.OK {
		t.Errorf("right code = %+v, %v", c, err)
	}
	if c, err := r.typed(t, f.Members.Recovery, code); err != nil || c.OK {
		t.Errorf("the code again = %+v, %v", c, err)
	}
	r.restart(t) // what was proven is in the journal
	f.ID += "x"
	if out := r.performed(t, f); out.State != protocol.Done {
		t.Errorf("with a code: %+v", out)
	}
	// It proves nothing for another recovery of the account.
	q, b = r.beginOn(t, accountID(15), reset)
	if out := r.performed(t, r.request(q, b)); out.State != protocol.Failed {
		t.Errorf("another recovery: %+v", out)
	}
}

func TestT31_CodesAllowFiveTriesThreeSendsAndTenFailuresADay(t *testing.T) {
	r, srv := newMailRig(t)
	q, b := r.beginOn(t, accountID(1), reset)
	rec := r.request(q, b).Members.Recovery
	if c, err := r.typed(t, rec, "00000000"); err != nil || c.OK || c.Tries != 0 {
		t.Errorf("before a code was sent: %+v, %v", c, err)
	}
	if _, err := r.send(t, rec); err != nil {
		t.Fatal(err)
	}
	code, _ := codeIn(t, srv, 1)
	wrong := "00000000"
	if wrong == code {
		wrong = "00000001"
	}
	var wg sync.WaitGroup // a hub tries in parallel
	for range 50 {
		wg.Go(func() {
			if c, err := r.typed(t, rec, wrong); err != nil || c.OK {
				t.Errorf("wrong code = %+v, %v", c, err)
			}
		})
	}
	wg.Wait()
	r.restart(t)
	if c, err := r.typed(t, rec, code); err != nil || c.OK {
		t.Errorf("the right code after five wrong ones = %+v, %v", c, err)
	}
	if _, err := r.send(t, rec); err != nil {
		t.Fatal(err)
	}
	if again, _ := codeIn(t, srv, 2); again == code {
		t.Error("the second code is the first")
	}
	if c, err := r.typed(t, rec, code); err != nil || c.OK {
		t.Errorf("the first code after the second = %+v, %v", c, err)
	}
	if _, err := r.send(t, rec); err != nil {
		t.Fatal(err)
	}
	q2, b2 := r.beginOn(t, accountID(1), reset) // limits are the account's, not the recovery's
	rec2 := r.request(q2, b2).Members.Recovery
	_, err := r.send(t, rec2)
	wantCode(t, err, protocol.CodeRateLimited)
	for range 4 {
		if _, err := r.typed(t, rec, wrong); err != nil {
			t.Fatal(err)
		}
	}
	_, err = r.typed(t, rec, wrong) // ten failures: five, one, and four
	wantCode(t, err, protocol.CodeRateLimited)
	r.clock.forward(24*time.Hour + time.Second)
	q3, b3 := r.beginOn(t, accountID(1), reset)
	if _, err := r.send(t, r.request(q3, b3).Members.Recovery); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

func TestCodeIsTooOldAfterAQuarterOfAnHourAndWithItsRecovery(t *testing.T) {
	r, srv := newMailRig(t)
	q := protocol.BeginRequest{Recovery: make([]byte, 16), Account: accountID(1), Operation: reset, Origin: "recover.example.com", Long: true}
	b, err := ask[protocol.Begun](t, r.service, protocol.MethodBegin, q)
	if err != nil {
		t.Fatal(err)
	}
	rec := protocol.RecoveryID(q.Recovery, b.Recovery)
	if _, err := r.send(t, rec); err != nil {
		t.Fatal(err)
	}
	code, _ := codeIn(t, srv, 1)
	r.clock.forward(codeLife + time.Second)
	_, err = r.typed(t, rec, code)
	wantCode(t, err, protocol.CodeExpired)
	r.clock.forward(longRecovery)
	_, err = r.send(t, rec)
	wantCode(t, err, protocol.CodeExpired)
	_, err = r.send(t, "nobody")
	wantCode(t, err, protocol.CodeNotBegun)
}

func TestCodeGoesNowhereWithoutAnotherAddressOrAMailServer(t *testing.T) {
	r, _ := newMailRig(t)
	q, b := r.beginOn(t, accountID(16), reset) // no other address
	_, err := r.send(t, r.request(q, b).Members.Recovery)
	wantCode(t, err, protocol.CodeUnsupportedAccountState)
	r.cfg.SMTP.Host = "127.0.0.1:1"
	r.restart(t)
	q, b = r.beginOn(t, accountID(1), reset)
	_, err = r.send(t, r.request(q, b).Members.Recovery)
	wantCode(t, err, protocol.CodeUnavailable)
	r.cfg.SMTP = SMTPConfig{}
	r.restart(t)
	_, err = r.send(t, r.request(q, b).Members.Recovery)
	wantCode(t, err, protocol.CodeUnsupported)
	_, err = r.typed(t, r.request(q, b).Members.Recovery, "1")
	wantCode(t, err, protocol.CodeUnsupported)
}

func TestMailServerMustProveWhoItIs(t *testing.T) {
	r, srv := newMailRig(t)
	r.cfg.SMTP.CAFile = ""
	r.restart(t)
	q, b := r.beginOn(t, accountID(1), reset)
	_, err := r.send(t, r.request(q, b).Members.Recovery)
	wantCode(t, err, protocol.CodeUnavailable)
	if n := len(srv.Messages()); n != 0 {
		t.Errorf("%d messages went to a server that nobody knows", n)
	}
	plain := testenv.StartSMTP(t, mailbox.Config{}) // offers no STARTTLS
	r.cfg.SMTP = SMTPConfig{Host: plain.Addr(), From: "a@corp.example"}
	r.restart(t)
	_, err = r.send(t, r.request(q, b).Members.Recovery)
	wantCode(t, err, protocol.CodeUnavailable)
	if n := len(plain.Messages()); n != 0 {
		t.Errorf("%d messages crossed the network in clear", n)
	}
	r.cfg.SMTP.TLS = tlsOff
	r.restart(t)
	if _, err := r.send(t, r.request(q, b).Members.Recovery); err != nil {
		t.Errorf("a server on this machine: %v", err)
	}
}

// The canary search of everything that the agent writes: T35, P15.
func TestT35_NoSecretAndNoAddressIsInStateFolderOrLog(t *testing.T) {
	r, srv := newMailRig(t)
	log := &testenv.Buffer{}
	r.service.log = debugLog(log)
	q, b := r.beginOn(t, accountID(1), reset)
	f := r.request(q, b)
	if _, err := r.send(t, f.Members.Recovery); err != nil {
		t.Fatal(err)
	}
	code, _ := codeIn(t, srv, 1)
	if _, err := r.typed(t, f.Members.Recovery, code); err != nil {
		t.Fatal(err)
	}
	if _, err := ask[protocol.AccountList](t, r.service, protocol.MethodGet, protocol.Ref{Identifier: "user1@corp.example"}); err != nil {
		t.Fatal(err)
	}
	if _, err := ask[protocol.Contacts](t, r.service, protocol.MethodContacts, protocol.RecoveryRef{Recovery: f.Members.Recovery}); err != nil {
		t.Fatal(err)
	}
	out := r.performed(t, f)
	password := r.opened(t, out)
	r.company.setDown(protocol.Err(protocol.CodeInternal, "cannot read uid=user1@corp.example,ou=people"))
	_, _ = ask[protocol.Begun](t, r.service, protocol.MethodBegin, protocol.BeginRequest{Recovery: make([]byte, 16), Account: accountID(2), Operation: reset, Origin: "x"})
	r.company.setDown(nil)

	everything := []byte(log.String())
	files, err := filepath.Glob(filepath.Join(r.state, "*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("state folder = %v, %v", files, err)
	}
	for _, name := range files {
		if filepath.Base(name) == ordersDir {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(name) != keysFile {
			everything = append(everything, text...)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
	for what, canary := range map[string]string{
		"password": password, "code": code, "raw evidence": "raw evidence", "login address": "user1@corp", "private address": "user1@home", "mail password": "pässword",
	} {
		if bytes.Contains(everything, []byte(canary)) {
			t.Errorf("the %s is in the state folder or the log", what)
		}
	}
	for _, want := range []string{`"method":"begin"`, `"method":"perform"`, `"state":"done"`, `"method":"get"`, `"code":"internal_error"`} {
		if !bytes.Contains(everything, []byte(want)) {
			t.Errorf("the event log lacks %s", want)
		}
	}
}
