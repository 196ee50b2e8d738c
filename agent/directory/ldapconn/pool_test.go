package ldapconn

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// open opens a pool for the test.
func open(t *testing.T, cfg Config) *Pool {
	t.Helper()
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	if cfg.BindDN == "" {
		cfg.BindDN = testenv.SlapdAgent
	}
	if cfg.Password.Empty() && cfg.BindPasswordFile == "" {
		cfg.Password = protocol.NewSecret(testenv.SlapdAgentPassword)
	}
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// find is a look-up that must find anna.
func find(ctx context.Context, c *Conn) error {
	e, err := c.Entry(ctx, testenv.SlapdDN("anna"), "(objectClass=*)", "uid")
	if err == nil && (e == nil || e.GetAttributeValue("uid") != "anna") {
		return errors.New("anna is not there")
	}
	return err
}

func (p *Pool) look(ctx context.Context) error {
	return p.Do(ctx, "", func(c *Conn) error { return find(ctx, c) })
}

func modify(ctx context.Context, c *Conn) error {
	m := ldap.NewModifyRequest(testenv.SlapdDN("anna"), nil)
	m.Replace("pwdAccountLockedTime", nil)
	return c.Modify(ctx, m)
}

func TestEveryProtectedWayInWorks(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	_, port, _ := strings.Cut(s.Addr(), ":")
	for name, cfg := range map[string]Config{
		"ldaps":             {URLs: []string{s.URL()}, CAFile: s.CAFile},
		"starttls":          {URLs: []string{s.StartTLSURL()}, StartTLS: true, CAFile: s.CAFile},
		"configured name":   {URLs: []string{s.URL()}, CAFile: s.CAFile, ServerName: testenv.SlapdHost},
		"a name in the URL": {URLs: []string{"ldaps://localhost:" + port}, CAFile: s.CAFile},
	} {
		if err := open(t, cfg).look(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatAnAdministratorMustFixIsSaid(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	good := Config{URLs: []string{s.URL()}, CAFile: s.CAFile}
	for name, c := range map[string]struct {
		change func(*Config)
		code   protocol.Code
		words  string
	}{
		"unknown authority": {func(c *Config) { c.CAFile = "" }, protocol.CodeConfiguration, "ca_file"},
		"another name":      {func(c *Config) { c.ServerName = "dc9.corp.example" }, protocol.CodeConfiguration, "server_name"},
		"not encrypted":     {func(c *Config) { c.URLs, c.Plain = []string{s.StartTLSURL()}, true }, protocol.CodeConfiguration, "ldaps"},
		"nobody listens":    {func(c *Config) { c.URLs = []string{"ldaps://127.0.0.1:1"} }, protocol.CodeUnavailable, "127.0.0.1:1"},
		"unknown name":      {func(c *Config) { c.BindDN = "cn=nobody," + testenv.SlapdBase }, protocol.CodeServiceAuthentication, "bind_dn"},
	} {
		cfg := good
		c.change(&cfg)
		err := open(t, cfg).look(t.Context())
		if protocol.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v; want %s with %q", name, err, c.code, c.words)
		}
	}
}

func TestDroppedConnectionsAreReplaced(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	c := testenv.NewCutter(t, s.Addr())
	p := open(t, Config{URLs: []string{"ldaps://" + c.Addr}, CAFile: c.CAFile})
	for round := range 3 {
		if err := p.look(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		c.Break()
	}
	if err := p.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Once(testenv.LDAPSearch, testenv.CutBefore) // dies with the request on its way
	if err := p.look(t.Context()); err != nil {
		t.Errorf("a read on a dying connection: %v", err)
	}
	if n := c.Requests(testenv.LDAPBind); n != c.Accepted() {
		t.Errorf("%d sign-ins on %d connections", n, c.Accepted())
	}
}

func TestConnectionsAreKept(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	c := testenv.NewCutter(t, s.Addr())
	p := open(t, Config{URLs: []string{"ldaps://" + c.Addr}, CAFile: c.CAFile})
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if err := p.look(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := c.Accepted(); n > poolSize {
		t.Errorf("40 look-ups took %d connections, want at most %d", n, poolSize)
	}
}

func TestOtherServersStandIn(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	one, two := testenv.NewCutter(t, s.Addr()), testenv.NewCutter(t, s.Addr())
	both := append(one.CA(t), two.CA(t)...)
	p := open(t, Config{URLs: []string{"ldaps://127.0.0.1:1", "ldaps://" + one.Addr, "ldaps://" + two.Addr}, CA: both})
	var at string
	if err := p.Do(t.Context(), "", func(c *Conn) error { at = c.Server(); return find(t.Context(), c) }); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(at, one.Addr) {
		t.Errorf("served by %s, want %s", at, one.Addr)
	}
	one.Refuse(true)
	one.Break()
	if err := p.look(t.Context()); err != nil {
		t.Errorf("with a second server: %v", err)
	}
	// A change must be settled where it was made, and nowhere else.
	if _, err := p.Fresh(t.Context(), at); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Errorf("the first server: %v", err)
	}
	one.Refuse(false)
	c, err := p.Fresh(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Server() != at {
		t.Errorf("settled at %s, want %s", c.Server(), at)
	}
	if _, err := p.Fresh(t.Context(), "ldaps://elsewhere:636#10.0.0.1:636"); protocol.CodeOf(err) != protocol.CodeConfiguration {
		t.Errorf("a server that is not configured: %v", err)
	}
}

func TestAWrongPasswordIsTriedOnce(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{})
	c := testenv.NewCutter(t, s.Addr())
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("not the password")
	p := open(t, Config{URLs: []string{"ldaps://" + c.Addr}, CAFile: c.CAFile, BindPasswordFile: file})
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := p.look(t.Context()); protocol.CodeOf(err) != protocol.CodeServiceAuthentication {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	if n := c.Requests(testenv.LDAPBind); n != 1 {
		t.Errorf("%d sign-ins with a wrong password, want 1", n)
	}
	write(testenv.SlapdAgentPassword) // no restart, no waiting
	if err := p.look(t.Context()); err != nil {
		t.Errorf("after the password was corrected: %v", err)
	}
}

func TestTheBackOffGrowsAndEnds(t *testing.T) {
	p := &Pool{log: slog.New(slog.NewTextHandler(io.Discard, nil)), cfg: Config{Password: protocol.NewSecret("x")}}
	answer := SignIn{Code: ldap.LDAPResultInvalidCredentials, err: ldap.NewError(ldap.LDAPResultInvalidCredentials, errors.New(""))}
	for _, want := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour} {
		_ = p.refused(answer, p.cfg.Password)
		if p.wait != want {
			t.Errorf("wait %s, want %s", p.wait, want)
		}
		if _, err := p.signInAllowed(); err == nil {
			t.Error("a new sign-in is allowed at once")
		}
		p.until = time.Now()
		if _, err := p.signInAllowed(); err != nil {
			t.Errorf("after the wait: %v", err)
		}
	}
	p.accepted()
	if p.wait != 0 || p.refusal != nil {
		t.Error("a good sign-in does not end the back-off")
	}
}

func TestAChangeIsUnsureOnlyOnceItWasSent(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	c := testenv.NewCutter(t, s.Addr())
	p := open(t, Config{URLs: []string{"ldaps://" + c.Addr}, CAFile: c.CAFile})
	runs := 0
	attempt := func(ctx context.Context) error {
		runs = 0
		return p.Do(ctx, "", func(c *Conn) error {
			runs++
			if err := find(ctx, c); err != nil {
				return err
			}
			return modify(ctx, c)
		})
	}
	if err := attempt(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, cut := range map[string]testenv.Cut{"lost before the server": testenv.CutBefore, "lost after the server": testenv.CutAfter} {
		c.Once(testenv.LDAPModify, cut)
		if err := attempt(t.Context()); !errors.Is(err, directory.ErrUnsure) || protocol.CodeOf(err) != protocol.CodeInternal || runs != 1 {
			t.Errorf("%s: %v after %d runs; want unsure after 1", name, err, runs)
		}
	}
	if err := attempt(held(t, c, testenv.LDAPModify)); !errors.Is(err, directory.ErrUnsure) {
		t.Errorf("no answer: %v", err)
	}
	c.Refuse(true)
	c.Break()
	if err := attempt(t.Context()); protocol.CodeOf(err) != protocol.CodeUnavailable || errors.Is(err, directory.ErrUnsure) {
		t.Errorf("no server: %v, want unavailable", err)
	}
}

// held has the answer to the next request of a kind held back, and returns a context that
// ends a moment after that request was seen, however long it took to come there.
func held(t *testing.T, c *testenv.Cutter, op byte) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var seen sync.Once
	c.On(func(got byte) (cut testenv.Cut) {
		if got == op {
			seen.Do(func() { cut = testenv.HoldAnswer; time.AfterFunc(100*time.Millisecond, cancel) })
		}
		return cut
	})
	return ctx
}

func TestAContextEndsAHangingRequest(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	c := testenv.NewCutter(t, s.Addr())
	p := open(t, Config{URLs: []string{"ldaps://" + c.Addr}, CAFile: c.CAFile})
	if err := p.look(held(t, c, testenv.LDAPSearch)); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Errorf("%v", err)
	}
	if err := p.look(t.Context()); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestPagingReadsBeyondTheServersLimit(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{People: 600})
	p := open(t, Config{URLs: []string{s.URL()}, CAFile: s.CAFile})
	c, err := p.Fresh(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	seen := map[string]bool{}
	r := Request(testenv.SlapdPeople, ldap.ScopeWholeSubtree, 0, Prefix("uid", "emp"), "uid")
	if err := c.Pages(t.Context(), r, 100, func(e *ldap.Entry) error { seen[e.DN] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 600 {
		t.Errorf("%d entries, want 600 (referrals are no entries)", len(seen))
	}
	stop := errors.New("enough")
	if err := c.Pages(t.Context(), r, 100, func(*ldap.Entry) error { return stop }); err != stop {
		t.Errorf("the callback's error became %v", err)
	}
	if c.usable() {
		t.Error("a connection with an unfinished page is still in use")
	}
}

func TestSignInAnswersAreTold(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{UseLockout: true})
	p := open(t, Config{URLs: []string{s.URL()}, CAFile: s.CAFile})
	try := func(uid, password string) SignIn {
		t.Helper()
		r, err := p.SignIn(t.Context(), "", testenv.SlapdDN(uid), protocol.NewSecret(password))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := try("anna", testenv.SlapdEmployeePassword); !r.OK() || r.Policy != NoPolicy {
		t.Errorf("right password: %+v", r)
	}
	if r := try("anna", "wrong"); r.OK() || r.Code != ldap.LDAPResultInvalidCredentials {
		t.Errorf("wrong password: %+v", r)
	}
	if r := try("anna", ""); r.OK() {
		t.Error("an empty password, which is an anonymous sign-in, was taken for proof")
	}
	s.Lock(t, testenv.SlapdDN("cleo"))
	if r := try("cleo", testenv.SlapdEmployeePassword); r.OK() || r.Policy != PolicyLocked {
		t.Errorf("locked: %+v", r)
	}
	// The pool's own connections did not become somebody else's.
	if err := p.Do(t.Context(), "", func(c *Conn) error { return modify(t.Context(), c) }); err != nil {
		t.Error(err)
	}
}

func TestPasswordRefusalsComeInPlainWords(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	p := open(t, Config{URLs: []string{s.URL()}, CAFile: s.CAFile})
	for name, c := range map[string]struct{ uid, password, words string }{
		"too short":   {"ben", "x1-Y2", "too short"},
		"old one":     {"ben", testenv.SlapdEmployeePassword, "used before"},
		"safe modify": {"sam", "Another-Passw0rd-9", "pwdSafeModify"},
	} {
		m := ldap.NewModifyRequest(testenv.SlapdDN(c.uid), []ldap.Control{ldap.NewControlBeheraPasswordPolicy()})
		m.Replace("userPassword", []string{c.password})
		err := p.Do(t.Context(), "", func(conn *Conn) error { return conn.Modify(t.Context(), m) })
		if protocol.CodeOf(err) != protocol.CodePasswordPolicy || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), c.password) {
			t.Errorf("%s: the message holds the password: %v", name, err)
		}
	}
	m := ldap.NewModifyRequest(testenv.SlapdDN("ben"), nil)
	m.Replace("title", []string{"Boss"})
	if err := p.Do(t.Context(), "", func(c *Conn) error { return c.Modify(t.Context(), m) }); protocol.CodeOf(err) != protocol.CodePermissionDenied {
		t.Errorf("without the right: %v", err)
	}
}

func TestAReferralIsNamedAndNotFollowed(t *testing.T) {
	s := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	p := open(t, Config{URLs: []string{s.URL()}, CAFile: s.CAFile})
	m := ldap.NewModifyRequest("uid=x,ou=elsewhere,"+testenv.SlapdPeople, nil)
	m.Replace("title", []string{"Boss"})
	err := p.Do(t.Context(), "", func(c *Conn) error { return c.Modify(t.Context(), m) })
	if protocol.CodeOf(err) != protocol.CodeConfiguration || !strings.Contains(err.Error(), "refers to another") || errors.Is(err, directory.ErrUnsure) {
		t.Errorf("%v", err)
	}
}

func TestP15_NoMessageRepeatsAPasswordThatAServerEchoes(t *testing.T) {
	for _, code := range []uint16{ldap.LDAPResultConstraintViolation, ldap.LDAPResultUnwillingToPerform} {
		err := changeFailure(ldap.NewError(code, errors.New("0000052D: Hunter2-canary is too short")))
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("code %d: %v", code, err)
		}
		if _, words := Diagnostic(err); !strings.HasPrefix(words, "0000052D") {
			t.Errorf("code %d: the kind cannot see the words: %q", code, words)
		}
	}
}
