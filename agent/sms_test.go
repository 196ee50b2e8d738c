package agent

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// smsService is a service for text messages on this machine.
type smsService struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	asked  []smsAsked
}

type smsAsked struct{ path, query, authorization, key, kind, body string }

const smsCanary = "canary-of-the-provider"

func startSMS(t *testing.T) *smsService {
	t.Helper()
	s := &smsService{status: http.StatusCreated}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, smsAsked{r.URL.Path, r.URL.RawQuery, r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.Header.Get("Content-Type"), string(body)})
		w.WriteHeader(s.status)
		_, _ = w.Write([]byte("you sent " + string(body))) // a service that repeats what it was given
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *smsService) all() []smsAsked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *smsService) answers(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// secretOf writes the provider's secret into a file of its own.
func secretOf(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(smsCanary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// textRig is a strict rig whose codes go to phones, without a mail server unless mail.
func textRig(t *testing.T, mail bool, change func(*SMSConfig)) (*rig, *smsService) {
	t.Helper()
	srv := startSMS(t)
	rule := required([]string{"agent_code"})
	rule.NoNotice = proof.NoticeAllow
	r, _ := strictRig(t, rule)
	r.cfg.SMS = SMSConfig{URL: srv.URL + "/send", Body: `{"to": "{to}", "text": "{text}"}`, Headers: map[string]string{"X-Api-Key": "{secret}"},
		SecretFile: secretOf(t), Prefixes: []string{"+4917"}}
	change(&r.cfg.SMS)
	if !mail {
		r.cfg.SMTP = SMTPConfig{}
	}
	if err := r.cfg.SMS.check(); err != nil {
		t.Fatal(err)
	}
	r.restart(t)
	r.company.edit(t, kim, func(p *person) { p.Phone = []string{"+49 170 1234567"} })
	return r, srv
}

func TestAgentCodeGoesToAPhoneThatTheHubNeverSees(t *testing.T) {
	r, srv := textRig(t, false, func(*SMSConfig) {})
	log := &testenv.Buffer{}
	r.service.log = debugLog(log)
	f, _ := r.frameFor(t, reset)
	sent, err := r.send(t, f.Members.Recovery)
	if err != nil || len(sent.Masked) != 1 || sent.Masked[0] != "•••67" {
		t.Fatalf("sent = %+v, %v", sent, err)
	}
	q := srv.all()[0]
	var m struct{ To, Text string }
	if err := json.Unmarshal([]byte(q.body), &m); err != nil || m.To != "+491701234567" || q.key != smsCanary || q.kind != "application/json" || q.path != "/send" {
		t.Fatalf("asked %+v: %v", q, err)
	}
	code := eightDigits.FindString(m.Text)
	for _, want := range []string{"recover.example.com", "user15@corp.example", "vorläufiges Passwort", "\n@recover.example.com #" + code} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("T1: the message lacks %q: %q", want, m.Text)
		}
	}
	if c, err := r.typed(t, f.Members.Recovery, code); err != nil || !c.OK {
		t.Fatalf("%+v %v", c, err)
	}
	if out := r.performed(t, f); out.State != protocol.Done {
		t.Errorf("%+v %v", out, out.Error)
	}
	srv.answers(http.StatusForbidden)
	g, _ := r.frameFor(t, reset)
	_, err = r.send(t, g.Members.Recovery)
	wantCode(t, err, protocol.CodeUnavailable)
	srv.Close()
	_, err = r.send(t, g.Members.Recovery)
	wantCode(t, err, protocol.CodeUnavailable)
	everything := []byte(log.String())
	for _, name := range []string{eventsFile, "journal", "known.json"} {
		text, err := os.ReadFile(filepath.Join(r.state, name))
		if err != nil {
			t.Fatal(err)
		}
		everything = append(everything, text...)
	}
	for _, canary := range []string{smsCanary, code, "1234567"} {
		if bytes.Contains(everything, []byte(canary)) {
			t.Errorf("T35: %q is in the log or the state folder", canary)
		}
	}
	if !bytes.Contains(everything, []byte("403")) {
		t.Error("the log does not say what the service answered")
	}
}

func TestT16_ANewPhoneGetsNoCodeForSeventyTwoHours(t *testing.T) {
	r, srv := textRig(t, false, func(*SMSConfig) {})
	if _, err := r.watchOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.company.edit(t, kim, func(p *person) { p.Phone = []string{"+49 171 7654321"} })
	q, b := r.beginOn(t, kim, reset)
	if b.Finding == nil {
		t.Error("a recovery begins with a phone of a minute ago")
	}
	_, err := r.send(t, r.request(q, b).Members.Recovery)
	wantCode(t, err, protocol.CodeUnsupportedAccountState)
	if n := len(srv.all()); n != 0 {
		t.Errorf("%d messages", n)
	}
	r.clock.forward(known.Wait)
	f, _ := r.frameFor(t, reset)
	if _, err := r.send(t, f.Members.Recovery); err != nil {
		t.Errorf("72 hours later: %v", err)
	}
}

// One code goes by one channel.
func TestPhonesGetTheCodeWhereNoMailAddressDoesOrWhereTheFilePrefersThem(t *testing.T) {
	for prefer, want := range map[bool]string{false: "u•••@home.example", true: "•••67"} {
		r, srv := textRig(t, true, func(c *SMSConfig) { c.Prefer = prefer })
		f, _ := r.frameFor(t, reset)
		sent, err := r.send(t, f.Members.Recovery)
		if err != nil || len(sent.Masked) != 1 || sent.Masked[0] != want || (len(srv.all()) == 1) != prefer {
			t.Errorf("prefer %v: %+v, %v, %d messages", prefer, sent, err, len(srv.all()))
		}
		r.company.edit(t, kim, func(p *person) { p.Mail = nil })
		if sent, err = r.send(t, f.Members.Recovery); err != nil || len(sent.Masked) != 1 || sent.Masked[0] != "•••67" {
			t.Errorf("without an address: %+v, %v", sent, err)
		}
	}
}

func TestNumbersAreTakenWithTheirCountryAndWhereTheFileSaysAlone(t *testing.T) {
	x, err := newTexter(SMSConfig{URL: "https://sms.example.com", Prefixes: []string{"+4917", "+1555"}}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"+49 170 123-4567": "+491701234567", "+1 (555) 010.9999": "+15550109999", "+49/170/1234567": "+491701234567",
		"0170 1234567": "", "+49 900 1234567": "", "+49 30 1234567": "", "+49 (0)170 1234567": "", "+491701234567 ext 5": "", "+4917": "",
		"+49170123456789012": "", "": "", "+49170\r\n1234567": "", "+49 170 1234567;+49 171 1234567": "", strings.Repeat("+", 50): "",
	} {
		got := x.numbers([]string{text})
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || got[0] != want) {
			t.Errorf("%q: %v, want %q", text, got, want)
		}
	}
	if got := x.numbers([]string{"+491701234567", "+49 170 1234567", "+491701234568", "+491701234569"}); len(got) != codePhones {
		t.Errorf("numbers = %v", got)
	}
}

func TestTheRequestIsWrittenForItsForm(t *testing.T) {
	secret := protocol.NewSecret(`s&"crët`)
	for name, c := range map[string]struct {
		cfg  SMSConfig
		want smsAsked
	}{
		"json":  {SMSConfig{URL: "/a?k={secret}", Body: ` { "n": "{to}", "t": "{text}" }`}, smsAsked{path: "/a", query: "k=s%26%22cr%C3%ABt", kind: "application/json", body: ` { "n": "+49170", "t": "a \"b\"\n{to} c" }`}},
		"form":  {SMSConfig{URL: "/a", Body: "{to}={text}", User: "u"}, smsAsked{path: "/a", kind: "application/x-www-form-urlencoded", body: "%2B49170=a+%22b%22%0A%7Bto%7D+c", authorization: "Basic "}},
		"query": {SMSConfig{URL: "/a?to={to}&t={text}"}, smsAsked{path: "/a", query: "to=%2B49170&t=a+%22b%22%0A%7Bto%7D+c"}},
		"twilio": {SMSConfig{TwilioAccount: "AC/1", From: "MG1"}, smsAsked{path: "/2010-04-01/Accounts/AC/1/Messages.json", kind: "application/x-www-form-urlencoded",
			body: url.Values{"To": {"+49170"}, "Body": {"a \"b\"\n{to} c"}, "MessagingServiceSid": {"MG1"}}.Encode(), authorization: "Basic "}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := startSMS(t)
			c.cfg.URL = srv.URL + c.cfg.URL
			req, err := c.cfg.request(t.Context(), "+49170", "a \"b\"\n{to} c", secret)
			if err != nil {
				t.Fatal(err)
			}
			res, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			got := srv.all()[0]
			if !strings.HasPrefix(got.authorization, c.want.authorization) || (got.authorization == "") != (c.want.authorization == "") {
				t.Errorf("authorization %q", got.authorization)
			}
			got.authorization, c.want.authorization = "", ""
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestADaysMessagesEndWithTheFilesLimit(t *testing.T) {
	srv, at := startSMS(t), &clock{}
	x, err := newTexter(SMSConfig{URL: srv.URL, Body: "{to}{text}", Prefixes: []string{"+49"}, PerDay: 2}, at.now)
	if err != nil {
		t.Fatal(err)
	}
	text := codeText{code: protocol.NewSecret("12345678"), origin: "recover.example.com"}
	for i, ok := range []bool{true, true, false, false} {
		if err := x.sendCode(t.Context(), []string{"+491701234567"}, text); (err == nil) != ok {
			t.Errorf("message %d: %v", i+1, err)
		}
	}
	at.forward(24 * time.Hour)
	if err := x.sendCode(t.Context(), []string{"+491701234567"}, text); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

func TestTheTableOfTextMessagesIsChecked(t *testing.T) {
	good := SMSConfig{URL: "https://sms.example.com/send", Body: "{to}{text}", Prefixes: []string{"+49"}}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*SMSConfig){
		"no prefixes":         func(c *SMSConfig) { c.Prefixes = nil },
		"a prefix of letters": func(c *SMSConfig) { c.Prefixes = []string{"DE"} },
		"everywhere":          func(c *SMSConfig) { c.Prefixes = []string{"+"} },
		"in clear":            func(c *SMSConfig) { c.URL = "http://sms.example.com/send" },
		"password in it":      func(c *SMSConfig) { c.URL = "https://a:b@sms.example.com/send" },
		"a host filled in":    func(c *SMSConfig) { c.URL = "https://{secret}.example.com/" },
		"no text":             func(c *SMSConfig) { c.Body = "{to}" },
		"number in a header":  func(c *SMSConfig) { c.Headers = map[string]string{"X": "{to}"} },
		"a header in another": func(c *SMSConfig) { c.Headers = map[string]string{"X": "a\r\nY: b"} },
		"no header's name":    func(c *SMSConfig) { c.Headers = map[string]string{"X:": "a"} },
		"no secret":           func(c *SMSConfig) { c.User = "u" },
		"twilio unsent":       func(c *SMSConfig) { c.TwilioAccount, c.Body = "AC", "" },
		"twilio and a body":   func(c *SMSConfig) { c.TwilioAccount, c.From, c.SecretFile = "AC", "+1", "s" },
		"nothing but a body":  func(c *SMSConfig) { c.URL = "" },
		"negative":            func(c *SMSConfig) { c.PerDay = -1 },
	} {
		c := good
		change(&c)
		if c.check() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// FuzzNumber: whatever a directory holds, what is taken is a number that the file allows.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"+49 170 1234567", "", "+", "0170", "+49 (0)170", "\u00a0+1\u00a0555"} {
		f.Add(s)
	}
	x, err := newTexter(SMSConfig{URL: "https://sms.example.com", Prefixes: []string{"+49"}}, time.Now)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range x.numbers([]string{s}) {
			if !e164.MatchString(n) || !strings.HasPrefix(n, "+49") {
				t.Errorf("%q gives %q", s, n)
			}
		}
	})
}
