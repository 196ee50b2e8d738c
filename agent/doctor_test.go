package agent

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// examined runs Doctor with the company as the directory.
func examined(t *testing.T, cfg Config, c *company, account string) *doctor.Report {
	t.Helper()
	open := func(context.Context, string, settings.File, *slog.Logger) (directory.Directory, error) { return c, nil }
	return Doctor(t.Context(), Options{Config: cfg, Open: open, Version: "test"}, account)
}

// step is the first one with a finding of the number.
func step(r *doctor.Report, number int) doctor.Step {
	for _, s := range r.Steps {
		if s.Number == number {
			return s
		}
	}
	return doctor.Step{}
}

// problems are the numbers of all findings that are more than notes.
func problems(r *doctor.Report) (all []int) {
	for _, s := range r.Steps {
		if s.Severity() == doctor.Problem || s.Severity() == doctor.Warning {
			all = append(all, s.Number)
		}
	}
	return all
}

// edited changes what enrolment left.
func edited(t *testing.T, cfg Config, change func(*Identity)) {
	t.Helper()
	id, err := LoadIdentity(cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	change(id)
	if err := id.save(cfg.StateDir); err != nil {
		t.Fatal(err)
	}
}

func TestDoctorFindsNothingWhereAllIsWellAndChangesNothing(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg, c := h.enrolled(t, "http"), newCompany(t)
	cfg.Guard.SensitiveGroups = nil // it has no mail route
	r := examined(t, cfg, c, "")
	if found := problems(r); len(found) != 0 || r.Exit() != doctor.ExitWell {
		t.Errorf("findings = %v: %+v", found, r.Steps)
	}
	if c.writes(t) != 0 {
		t.Error("doctor changed an account")
	}
	if _, err := os.Stat(filepath.Join(cfg.StateDir, eventsFile)); err == nil {
		t.Error("doctor wrote an event")
	}
}

func TestDoctorNamesWhatIsWrongWithMachineGuardAndMail(t *testing.T) {
	h := newTestHub(t, 1, nil)
	for name, c := range map[string]struct {
		change  func(*testing.T, *Config, *company)
		account string
		number  int
		says    string
	}{
		"not enrolled": {func(t *testing.T, cfg *Config, _ *company) { cfg.StateDir = t.TempDir() }, "", doctor.NotEnrolled, "not enrolled"},
		"keys that others read": {func(t *testing.T, cfg *Config, _ *company) {
			if err := os.Chmod(filepath.Join(cfg.StateDir, keysFile), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "", doctor.KeysUnsafe, "chmod 600"},
		"another name of the hub": {func(t *testing.T, cfg *Config, _ *company) {
			edited(t, *cfg, func(id *Identity) { id.HubName = "other.example" })
		}, "", doctor.OtherHub, ""},
		"a damaged journal": {func(t *testing.T, cfg *Config, _ *company) {
			if err := os.WriteFile(filepath.Join(cfg.StateDir, "journal"), []byte("something else entirely"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "", doctor.JournalDamaged, "move the file aside"},
		"an open operation": {func(t *testing.T, cfg *Config, _ *company) { interrupted(t, cfg.StateDir) }, "", doctor.JournalOpen, "1 without an outcome"},
		"no base":           {func(_ *testing.T, cfg *Config, _ *company) { cfg.Guard.BaseDNs = nil }, "", doctor.GuardUnbounded, "none is named"},
		"a broken guard":    {func(_ *testing.T, cfg *Config, _ *company) { cfg.Guard.BaseDNs = []string{"people"} }, "", doctor.GuardSettings, "base_dns"},
		"no group": {func(_ *testing.T, cfg *Config, _ *company) {
			cfg.Guard.RefusedGroups = []string{"Backup Operators", "Bakcup Operators"}
		}, "", doctor.GroupUnknown, `"Bakcup Operators"`},
		"a protected account": {func(*testing.T, *Config, *company) {}, accountID(firstProtected), doctor.GuardRefuses, "Domain Admins"},
		"nobody":              {func(*testing.T, *Config, *company) {}, "nobody@corp.example", doctor.NoSuchAccount, "nobody is found"},
		"a trial":             {func(_ *testing.T, cfg *Config, _ *company) { cfg.Evaluation = true }, "", doctor.Evaluating, "dry run"},
		"no directory": {func(_ *testing.T, _ *Config, c *company) {
			c.down = protocol.Err(protocol.CodeServiceAuthentication, "wrong password")
		}, "", doctor.SignInWrong, "wrong password"},
		"no mail": {func(_ *testing.T, cfg *Config, _ *company) {
			cfg.SMTP = SMTPConfig{Host: "127.0.0.1:1", From: "a@b.example"}
		}, "", doctor.MailAway, "connection refused"},
		"no route": {func(_ *testing.T, cfg *Config, _ *company) { cfg.Guard.SensitiveGroups = []string{"Finance"} }, "", doctor.SensitiveNoRoute, "guard.sensitive_groups"},
		"no secret for messages": {func(t *testing.T, cfg *Config, _ *company) {
			cfg.SMS = SMSConfig{URL: "https://sms.example", Body: "{{code}}", Prefixes: []string{"+49"}, SecretFile: filepath.Join(t.TempDir(), "none")}
		}, "", doctor.MessagesSettings, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, comp := h.enrolled(t, "http"), newCompany(t)
			cfg.Guard.SensitiveGroups = nil
			c.change(t, &cfg, comp)
			r := examined(t, cfg, comp, c.account)
			if s := step(r, c.number); !strings.Contains(s.Detail, c.says) || s.Number != c.number {
				t.Errorf("want %d saying %q, got %+v", c.number, c.says, r.Steps)
			}
			if found := problems(r); !slices.Equal(found, []int{c.number}) {
				t.Errorf("findings = %v, want %d alone", found, c.number)
			}
		})
	}
}

// interrupted leaves a journal whose last operation was begun and not settled.
func interrupted(t *testing.T, dir string) {
	t.Helper()
	j, err := journal.Open(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r := journal.Recovery{ID: "r", Account: accountID(1), Operation: "unlock", NotAfter: time.Now().Add(time.Hour).Unix()}
	if err := errors.Join(j.Begin(r), j.Execute(journal.Execution{Recovery: "r"}), j.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestDoctorPrintsTheListOfGroupsWhereOnlyALetterIsWrong(t *testing.T) {
	h := newTestHub(t, 1, nil)
	for names, want := range map[string]string{
		"Bakcup Operators":                         `refused_groups = ["backup operators"]`,
		"Staff|Bakcup Operators":                   `refused_groups = ["Staff", "backup operators"]`,
		"Backup Operators|Bakcup Operators":        `refused_groups = ["Backup Operators"]`,
		"Bakcup Operators|Gardeners of the castle": "",
	} {
		cfg := h.enrolled(t, "http")
		cfg.Guard.RefusedGroups, cfg.Guard.SensitiveGroups = strings.Split(names, "|"), nil
		r := examined(t, cfg, newCompany(t), "")
		if s := step(r, doctor.GroupUnknown); strings.Join(s.Write, "\n") != want || want != "" && s.Table != "guard" || len(s.Lines) != 1 || s.Lines[0] != `almost the same is "backup operators"` {
			t.Errorf("%s: want %q, got %+v", names, want, s)
		}
	}
}

func TestDoctorKnowsGroupsByNameAndIDInAnyCase(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	cfg.Guard.RefusedGroups, cfg.Guard.SensitiveGroups = []string{"BACKUP operators", " staff "}, []string{"Finance"}
	if r := examined(t, cfg, newCompany(t), ""); r.Has(doctor.GroupUnknown) {
		t.Errorf("steps = %+v", r.Steps)
	}
}

func TestDoctorTellsClocksAndStandings(t *testing.T) {
	for state, c := range map[string]struct {
		ahead    time.Duration
		standing int
		clock    int
	}{
		protocol.AgentPending:     {45 * time.Second, doctor.KeyPending, doctor.ClockOff},
		protocol.AgentQuarantined: {5 * time.Minute, doctor.KeyQuarantined, doctor.ClockWrong},
		protocol.AgentActive:      {-5 * time.Minute, 0, doctor.ClockWrong},
	} {
		h := newTestHub(t, 1, nil)
		h.set(func() { h.ahead, h.state = c.ahead, state })
		r := examined(t, h.enrolled(t, "http"), newCompany(t), "")
		if s := step(r, c.clock); !strings.Contains(s.Detail, map[bool]string{true: "behind", false: "ahead of"}[c.ahead > 0]) {
			t.Errorf("%s: clock = %+v", state, s)
		}
		if c.standing != 0 && !r.Has(c.standing) {
			t.Errorf("%s: %+v", state, r.Steps)
		}
	}
}

func TestDoctorTellsARevokedKeyFromAnotherRefusal(t *testing.T) {
	for code, number := range map[protocol.Code]int{protocol.CodePermissionDenied: doctor.KeyRevoked, protocol.CodeUnavailable: doctor.HubRefuses} {
		h := newTestHub(t, 1, nil)
		h.set(func() { h.admit = func(protocol.Hello) error { return protocol.Err(code, "the hub's own words") } })
		r := examined(t, h.enrolled(t, "http"), newCompany(t), "")
		if s := step(r, number); !strings.Contains(s.Detail, "the hub's own words") {
			t.Errorf("%s: %+v", code, r.Steps)
		}
	}
}

func TestT29_DoctorBesideARunningAgentDoesNotSayWhoItIs(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	cfg.Guard.SensitiveGroups = nil
	j, err := journal.Open(cfg.StateDir, time.Now) // as the running agent has it
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if found := problems(examined(t, cfg, newCompany(t), "")); len(found) != 0 {
		t.Errorf("findings = %v", found)
	}
	if n := len(h.hellosSoFar()); n != 0 {
		t.Errorf("%d hellos", n)
	}
}

// A process that asks the hub under the agent's keys must be the only one, until it is over.
func TestT29_NobodyElseUsesTheKeysWhileDoctorSaysHello(t *testing.T) {
	h := newTestHub(t, 1, nil)
	cfg := h.enrolled(t, "http")
	var locked error
	h.set(func() {
		h.admit = func(protocol.Hello) error {
			_, locked = journal.Open(cfg.StateDir, time.Now)
			return nil
		}
	})
	examined(t, cfg, newCompany(t), "")
	if !errors.Is(locked, journal.ErrLocked) {
		t.Errorf("the state folder meanwhile: %v", locked)
	}
	j, err := journal.Open(cfg.StateDir, time.Now)
	if err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	_ = j.Close()
}

func TestReportsForProgramsAreJSON(t *testing.T) {
	h := newTestHub(t, 1, nil)
	var out strings.Builder
	if err := examined(t, h.enrolled(t, "http"), newCompany(t), "").JSON(&out); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Steps []struct{ Area, What string }
	}
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || len(back.Steps) < 8 {
		t.Errorf("%v: %s", err, out.String())
	}
}

// anchor makes a root certificate.
func anchor(t *testing.T, bits int, ends time.Time) string {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0") // a weak key is what is wanted
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "IACA"}, NotBefore: ends.Add(-time.Hour), NotAfter: ends, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "iaca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDoctorLooksAtWhatEvidenceRestsOn(t *testing.T) {
	h := newTestHub(t, 1, nil)
	for name, c := range map[string]struct {
		set  func(*Config)
		want int
		says string
	}{
		"ended": {func(cfg *Config) { cfg.Evidence.Trust = []string{anchor(t, 2048, time.Now().Add(-time.Minute))} }, doctor.AnchorWeak, "ended"},
		"short": {func(cfg *Config) { cfg.Evidence.Trust = []string{anchor(t, 1024, time.Now().Add(time.Hour))} }, doctor.AnchorWeak, "1024 bits"},
		"none":  {func(cfg *Config) { cfg.Evidence.Trust = []string{"/nonexistent.pem"} }, doctor.EvidenceSettings, "nonexistent"},
		"approvers": {func(cfg *Config) {
			if err := os.WriteFile(filepath.Join(cfg.StateDir, "approvers.json"), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, doctor.ApproversUnread, "approvers"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := h.enrolled(t, "http")
			cfg.Guard.SensitiveGroups = nil
			cfg.Evidence.Origins, cfg.Evidence.Groups = []string{"https://recover.example"}, []proof.Rule{{Group: "*", RequireAgentVerifiable: true}}
			c.set(&cfg)
			r := examined(t, cfg, newCompany(t), "")
			if s := step(r, c.want); !strings.Contains(s.Detail, c.says) || !slices.Equal(problems(r), []int{c.want}) {
				t.Errorf("findings %v: %+v", problems(r), s)
			}
		})
	}
	cfg := h.enrolled(t, "http")
	if r := examined(t, cfg, newCompany(t), ""); !r.Has(doctor.HubAlone) || !r.Has(doctor.WitnessedHere) {
		t.Errorf("steps = %+v", r.Steps)
	}
	cfg.Log.Sinks = []string{"file", "syslog"}
	if r := examined(t, cfg, newCompany(t), ""); r.Has(doctor.WitnessedHere) {
		t.Error("a sink elsewhere is not seen")
	}
}

func TestDoctorComparesVersionsAndRules(t *testing.T) {
	for hub, c := range map[string]struct {
		agent string
		far   bool
	}{"v1.4.0": {"1.2.9", true}, "v1.3.0": {"1.2.9", false}, "2.0.0": {"1.9.0", true}, "": {"1.2.0", false}, "v1.1.0": {"v1.2.0", false}, "v0.0.0-20261101": {"1.2.0", false}} {
		h := newTestHub(t, 1, nil)
		h.set(func() { h.version, h.differs = hub, c.far })
		open := func(context.Context, string, settings.File, *slog.Logger) (directory.Directory, error) {
			return newCompany(t), nil
		}
		r := Doctor(t.Context(), Options{Config: h.enrolled(t, "http"), Open: open, Version: c.agent}, "")
		if r.Has(doctor.HubVersion) != c.far || r.Has(doctor.GuardsDiffer) != c.far {
			t.Errorf("hub %q, agent %q: %+v", hub, c.agent, r.Steps)
		}
	}
}
