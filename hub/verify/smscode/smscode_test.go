package smscode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { testenv.Run(m) }

// numbers that can be real ones, for whom nobody has been found.
const phone, second, american = "+491701234567", "+491712345678", "+12025550123"

// service is a real HTTP server that takes messages.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	got    []taken
	status int
}

type taken struct {
	method, path, body string
	header             http.Header
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, taken{r.Method, r.URL.RequestURI(), string(body), r.Header.Clone()})
	w.WriteHeader(s.status)
	_, _ = w.Write(body) // some repeat the message
}

func (s *service) last(t *testing.T) taken {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.got) == 0 {
		t.Fatal("nothing was sent")
	}
	return s.got[len(s.got)-1]
}

func (s *service) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

// bench is a route on a real store, through the client of the product.
type bench struct {
	*Verifier
	store   *store.Store
	service *service
	log     bytes.Buffer
	env     string
	ahead   atomic.Int64
}

func (b *bench) now() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) }

func newBench(t *testing.T, c store.Config) *bench {
	t.Helper()
	b := &bench{service: &service{status: http.StatusCreated}}
	b.service.Server = httptest.NewServer(b.service)
	t.Cleanup(b.service.Close)
	c.Now = b.now
	b.store = storetest.Open(t, c)
	b.env = storetest.Seed(t, b.store).Env.ID
	hooks, err := webhook.New(webhook.Config{
		Store: b.store, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Log: slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Verifier = New(NewRoute(b.store, hooks.Client(), b.now))
	return b
}

func (b *bench) set(t *testing.T, s Settings) {
	t.Helper()
	if s.Countries == nil {
		s.Countries = []string{"DE"}
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	err := b.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.SetSMSSettings(t.Context(), b.env, []byte(store.JSON(s))) })
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) plain(t *testing.T) {
	b.set(t, Settings{URL: b.service.URL + "/send", Body: "to={to}&text={text}"})
}

func (b *bench) subject(phones ...string) verify.Subject {
	return verify.Subject{Env: b.env, Directory: "d", Account: "a", Verification: "v", Origin: "https://recover.example.com", Client: "192.0.2.1",
		Until: b.now().Add(time.Hour), Contacts: protocol.Contacts{Phone: phones}}
}

var digits = regexp.MustCompile(`\b\d{8}\b`)

func TestT05_ACodeGoesToThePhoneAndIsRightForTenMinutesThere(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		b := newBench(t, c)
		b.plain(t)
		s := b.subject("+49 170 1234567", "0170 1234567", "nonsense")
		challenge, err := b.Open(t.Context(), s)
		if err != nil || b.service.count() > 0 {
			t.Fatalf("%v, %d messages before the challenge is kept", err, b.service.count())
		}
		masked, err := challenge.Send(t.Context())
		if err != nil || len(masked) != 1 || masked[0] != "•••67" {
			t.Fatal(masked, err)
		}
		form, err := url.ParseQuery(b.service.last(t).body)
		if err != nil || form.Get("to") != phone || !strings.HasSuffix(form.Get("text"), "\n\n@recover.example.com #"+digits.FindString(form.Get("text"))) {
			t.Fatalf("%v %v", form, err)
		}
		code := digits.FindString(form.Get("text"))
		if strings.Contains(challenge.Text, code) {
			t.Error("the challenge holds the code")
		}
		other := s
		other.Verification = "v2"
		for name, try := range map[string]struct {
			s    verify.Subject
			code string
			want bool
		}{"right": {s, code[:4] + " " + code[4:], true}, "wrong": {s, "00000000", false}, "empty": {s, "", false}, "elsewhere": {other, code, false}} {
			got, err := b.Check(t.Context(), try.s, challenge.Text, try.code)
			if err != nil || got.Right != try.want || got.Right && (len(got.Evidence) != 1 || got.Evidence[0].Type != "sms_code") {
				t.Errorf("%s: %+v %v", name, got, err)
			}
		}
		for _, challenge := range []string{"", ".", "x", "." + strings.Repeat("9", 30)} {
			if got, _ := b.Check(t.Context(), s, challenge, code); got.Right {
				t.Errorf("right for %q", challenge)
			}
		}
		b.ahead.Store(int64(10 * time.Minute))
		if got, _ := b.Check(t.Context(), s, challenge.Text, code); got.Right {
			t.Error("right after ten minutes")
		}
	})
}

func TestT31_NobodyRunsUpTheBill(t *testing.T) {
	send := func(t *testing.T, b *bench, m Message) error {
		t.Helper()
		m.Env, m.Code = b.env, protocol.NewSecret("12345678")
		return b.route.Send(t.Context(), m)
	}
	number := func(block, i int) string {
		n := block*1000 + i
		return "+491701" + string([]byte{byte('0' + n/100000%10), byte('0' + n/10000%10), byte('0' + n/1000%10), byte('0' + n/100%10), byte('0' + n/10%10), byte('0' + n%10)})
	}
	tests := map[string]struct {
		most int
		m    func(i int) Message
		free Message // something else, which is still sent
	}{
		"account": {perAccount, func(i int) Message { return Message{Account: "d/a", To: number(i, 0)} }, Message{Account: "d/b", To: phone}},
		"number":  {perNumber, func(i int) Message { return Message{Account: number(i, 1), To: phone} }, Message{Account: "d/b", To: second}},
		"block":   {perBlock, func(i int) Message { return Message{Account: number(i, 1), To: number(7, i)} }, Message{Account: "d/b", To: number(8, 1)}},
		"client": {perClient, func(i int) Message {
			return Message{Account: number(i, 1), To: number(i, 1), Client: fmt.Sprintf("2001:db8::%x", i+1)}
		}, Message{Account: "d/b", To: phone, Client: "192.0.2.2"}},
		"country a day": {40, func(i int) Message { return Message{Account: number(i, 1), To: number(i, 1)} }, Message{Account: "d/b", To: american}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, storetest.SQLite(t))
			b.set(t, Settings{URL: b.service.URL, Body: "to={to}&text={text}", Countries: []string{"DE", "US"}, PerCountry: 40, PerDay: 42})
			for i := range c.most {
				if err := send(t, b, c.m(i)); err != nil {
					t.Fatalf("message %d of %d: %v", i+1, c.most, err)
				}
			}
			if err := send(t, b, c.m(c.most)); !errors.Is(err, ErrLimit) || b.service.count() != c.most {
				t.Errorf("one more: %v, %d sent", err, b.service.count())
			}
			if err := send(t, b, c.free); err != nil {
				t.Errorf("somebody else: %v", err)
			}
			b.ahead.Store(int64(24*time.Hour + time.Minute))
			if err := send(t, b, c.m(c.most)); err != nil {
				t.Errorf("a day later: %v", err)
			}
		})
	}
	t.Run("environment a day", func(t *testing.T) {
		b := newBench(t, storetest.SQLite(t))
		b.set(t, Settings{URL: b.service.URL, Body: "to={to}&text={text}", PerDay: 50})
		var sent atomic.Int32
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				if send(t, b, Message{Account: number(i, 1), To: number(i, 1)}) == nil {
					sent.Add(1)
				}
			})
		}
		wg.Wait()
		if sent.Load() != 50 || b.service.count() != 50 {
			t.Errorf("%d sent, %d arrived", sent.Load(), b.service.count())
		}
	})
}

func TestMessagesGoOnlyToPhonesOfAllowedCountries(t *testing.T) {
	s := Settings{Countries: []string{"DE", "GB"}, Home: "DE"}
	for text, want := range map[string]error{
		phone: nil, "0170/1234567": nil, "+44 7400 123456": nil,
		american: ErrCountry, "+43 664 1234567": ErrCountry,
		"+49 900 1234567":  ErrNumber, // premium rate
		"+49 180 5123456":  ErrNumber, // shared cost
		"+49 30 1234567":   ErrNumber, // landline
		"+44 70 1234 5678": ErrNumber, // personal number
		"+49 170 1":        ErrNumber, "": ErrNumber, "112": ErrNumber, "+49 170 1234567 ext. 4": ErrNumber, strings.Repeat("1", 99): ErrNumber,
	} {
		if n, err := s.Number(text); !errors.Is(err, want) {
			t.Errorf("%q = %+v, %v; want %v", text, n, err, want)
		}
	}
	b := newBench(t, storetest.SQLite(t))
	for _, phones := range [][]string{{american}, {"+49 900 1234567"}, {}} {
		b.plain(t)
		if b.Usable(t.Context(), b.subject(phones...)) {
			t.Errorf("usable with %v", phones)
		}
		if _, err := b.Open(t.Context(), b.subject(phones...)); err == nil {
			t.Errorf("opened for %v", phones)
		}
	}
	if !b.Usable(t.Context(), b.subject(phone)) {
		t.Error("not usable")
	}
	if err := b.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.SetSMSSettings(t.Context(), b.env, nil) }); err != nil {
		t.Fatal(err)
	}
	if b.Usable(t.Context(), b.subject(phone)) || b.route.On(t.Context(), b.env) {
		t.Error("usable without a service")
	}
}

func TestAnyServiceIsWrittenToAsItsTemplateSays(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	secrets := map[string]string{"token": `to"p&{to}`}
	for name, c := range map[string]struct {
		settings Settings
		check    func(got taken) bool
	}{
		"JSON": {Settings{Body: `{"recipients":["{to}"],"key":"{token}","body":"{text}"}`, Secrets: secrets}, func(got taken) bool {
			var m struct {
				Recipients []string
				Key, Body  string
			}
			return json.Unmarshal([]byte(got.body), &m) == nil && m.Key == secrets["token"] && m.Recipients[0] == phone && strings.Contains(m.Body, "\n") &&
				got.header.Get("Content-Type") == "application/json"
		}},
		"form": {Settings{Body: "a={to}&b={text}&c={token}", Secrets: secrets, User: "u", Password: "p"}, func(got taken) bool {
			q, err := url.ParseQuery(got.body)
			return err == nil && q.Get("a") == phone && q.Get("c") == secrets["token"] && got.header.Get("Authorization") == "Basic dTpw"
		}},
		"GET": {Settings{Method: "GET", URL: "/x?to={to}&m={text}", Headers: map[string]string{"X-Key": "k {token}"}, Secrets: map[string]string{"token": "abc"}}, func(got taken) bool {
			return got.method == "GET" && strings.Contains(got.path, "to=%2B491701234567") && got.header.Get("X-Key") == "k abc"
		}},
		"XML": {Settings{Body: "<m to='{to}'>{text}{token}</m>", Secrets: map[string]string{"token": "<&"}, Headers: map[string]string{"Content-Type": "text/xml; charset=utf-8"}}, func(got taken) bool {
			return strings.Contains(got.body, "&lt;&amp;</m>")
		}},
		"Twilio": {Settings{Twilio: &Twilio{Account: "AC1", Token: "t", From: "MG9", URL: "here"}}, func(got taken) bool {
			q, err := url.ParseQuery(got.body)
			return err == nil && got.path == "/2010-04-01/Accounts/AC1/Messages.json" && q.Get("To") == phone && q.Get("MessagingServiceSid") == "MG9" &&
				digits.MatchString(q.Get("Body")) && got.header.Get("Authorization") == "Basic QUMxOnQ="
		}},
	} {
		if c.settings.Twilio != nil {
			c.settings.Twilio.URL = b.service.URL
		} else {
			c.settings.URL = b.service.URL + c.settings.URL
		}
		b.set(t, c.settings)
		if err := b.route.Send(t.Context(), Message{Env: b.env, Account: name, To: phone, Origin: "https://r.example", Code: protocol.NewSecret("12345678")}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := b.service.last(t); !c.check(got) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	good := Settings{URL: "https://sms.example.com/send", Body: "to={to}&text={text}", Countries: []string{"DE"}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(s *Settings){
		"no country":         func(s *Settings) { s.Countries = nil },
		"all countries":      func(s *Settings) { s.Countries = []string{"*"} },
		"home elsewhere":     func(s *Settings) { s.Home = "US" },
		"no text":            func(s *Settings) { s.Body = "to={to}" },
		"no address":         func(s *Settings) { s.URL = "sms.example.com" },
		"host filled in":     func(s *Settings) { s.URL = "https://{text}/{to}" },
		"password in it":     func(s *Settings) { s.URL = "https://a:b@sms.example.com/" },
		"a number in header": func(s *Settings) { s.Headers = map[string]string{"X-To": "{to}"} },
		"header of its own":  func(s *Settings) { s.Headers = map[string]string{"X": "a\r\nY: b"} },
		"secret named to":    func(s *Settings) { s.Secrets = map[string]string{"to": "x"} },
		"empty secret":       func(s *Settings) { s.Secrets = map[string]string{"x": ""} },
		"both":               func(s *Settings) { s.Twilio = &Twilio{Account: "a", Token: "b", From: "c"} },
		"method":             func(s *Settings) { s.Method = "DELETE" },
		"negative":           func(s *Settings) { s.PerDay = -1 },
	} {
		s := good
		change(&s)
		if err := s.Check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	half := Settings{Twilio: &Twilio{Account: "a/b", Token: "b", From: "c"}, Countries: []string{"DE"}}
	if half.Check() == nil {
		t.Error("an account with a slash")
	}
}

func TestP06_P15_CodesAndSecretsStandNowhere(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	const canary = "canary-of-the-service"
	s := Settings{URL: b.service.URL + "/{key}?to={to}&text={text}", Method: "GET", Secrets: map[string]string{"key": canary}, Headers: map[string]string{"X-Key": canary}, User: "u", Password: canary}
	b.set(t, s)
	if text := store.JSON(s.Shown()); strings.Contains(text, canary) {
		t.Errorf("shown: %s", text)
	}
	for _, status := range []int{http.StatusCreated, http.StatusInternalServerError, http.StatusFound} {
		b.service.status = status
		challenge, err := b.Open(t.Context(), b.subject(phone))
		if err != nil {
			t.Fatal(err)
		}
		_, err = challenge.Send(t.Context())
		if (err == nil) != (status == http.StatusCreated) {
			t.Errorf("status %d: %v", status, err)
		}
		b.nowhere(t, err, canary, digits.FindString(strings.ReplaceAll(b.service.last(t).path, "+", " ")), phone)
	}
	b.service.Close()
	challenge, err := b.Open(t.Context(), b.subject(phone))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = challenge.Send(t.Context()); err == nil {
		t.Error("sent to nobody")
	}
	b.nowhere(t, err, canary, phone, "to=")
}

// nowhere looks for what must not be there in errors, log and store.
func (b *bench) nowhere(t *testing.T, err error, canaries ...string) {
	t.Helper()
	rows, readErr := store.Get(t.Context(), b.store, func(tx *store.Tx) ([]string, error) {
		a, err := store.All(t.Context(), tx, store.Text, "SELECT secret FROM sms_settings")
		if err != nil {
			return nil, err
		}
		c, err := store.All(t.Context(), tx, store.Text, "SELECT subject FROM code_sends")
		return append(a, c...), err
	})
	if readErr != nil || len(rows) < 2 {
		t.Fatal(rows, readErr)
	}
	text := strings.Join(rows, "\n") + b.log.String()
	if err != nil {
		text += err.Error()
	}
	for _, canary := range canaries {
		if canary == "" || strings.Contains(text, canary) {
			t.Errorf("%q stands in %s", canary, text)
		}
	}
}

func TestTheServiceMustNotBeInsideTheNetwork(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.set(t, Settings{URL: "https://169.254.169.254/latest?{to}{text}", Method: "GET"})
	err := b.route.Send(context.WithoutCancel(t.Context()), Message{Env: b.env, To: phone, Code: protocol.NewSecret("12345678")})
	if err == nil || !strings.Contains(err.Error(), "may not reach") {
		t.Error(err)
	}
}

func FuzzParseNumber(f *testing.F) {
	f.Add("+49 170 1234567", "DE")
	f.Add("0170;ext=4", "")
	f.Fuzz(func(t *testing.T, text, home string) {
		n, err := ParseNumber(text, home)
		if err == nil && (!strings.HasPrefix(n.E164, "+") || len(n.E164) < 8 || len(n.E164) > 16 || n.Country == "") {
			t.Errorf("%q = %+v", text, n)
		}
	})
}
