package guard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

func must(t *testing.T, r Rules) *Guard {
	t.Helper()
	g, err := New(r, nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

var unlock = []protocol.Task{{Operation: protocol.Unlock}}

// good is a case that the rules of the tests allow.
func good() Case {
	return Case{
		Account: "a1", Tasks: unlock, Notice: true,
		Facts: directory.Facts{ID: "a1", DN: "CN=Kim Doe,OU=People,DC=corp,DC=example", Groups: []string{"Staff", "S-1-5-21-9"}},
	}
}

var rules = Rules{
	BaseDNs: []string{"ou=people,dc=corp,dc=example"}, Operations: []protocol.Operation{protocol.Unlock, protocol.GetTemporaryPassword},
	RefusedGroups: []string{"Backup Operators"}, SensitiveGroups: []string{"finance", "S-1-5-21-77"},
}

func TestP02_GuardRefusesWhatTheFileAndTheDirectorySay(t *testing.T) {
	g := must(t, rules)
	if e := g.Judge(good()); e != nil {
		t.Fatalf("the good case is refused: %v", e)
	}
	for name, c := range map[string]struct {
		change func(*Case)
		want   string
	}{
		"built-in administrator": {func(c *Case) { c.Facts.Privileged = "member of Domain Admins" }, "member of Domain Admins"},
		"own account":            {func(c *Case) { c.Facts.Self = true }, "itself signs in"},
		"disabled":               {func(c *Case) { c.Facts.Disabled = true }, "disabled"},
		"another account":        {func(c *Case) { c.Facts.ID = "a2" }, "another account"},
		"no account":             {func(c *Case) { c.Facts.ID, c.Account = "", "" }, "another account"},
		"outside":                {func(c *Case) { c.Facts.DN = "cn=kim,ou=it,dc=corp,dc=example" }, "base_dns"},
		"look-alike base":        {func(c *Case) { c.Facts.DN = `cn=kim\,ou=people,dc=corp,dc=example` }, "base_dns"},
		"no DN":                  {func(c *Case) { c.Facts.DN = "" }, "base_dns"},
		"operation":              {func(c *Case) { c.Tasks = []protocol.Task{{Operation: protocol.RemoveAllMFA}} }, "guard.operations"},
		"second operation":       {func(c *Case) { c.Tasks = append(slices.Clone(unlock), protocol.Task{Operation: protocol.RemoveAllMFA}) }, "guard.operations"},
		"no operation":           {func(c *Case) { c.Tasks = nil }, "no operation"},
		"refused group":          {func(c *Case) { c.Facts.Groups = []string{"BACKUP operators"} }, "Backup Operators"},
		"sensitive group":        {func(c *Case) { c.Facts.Groups = []string{"Finance"} }, "sensitive_groups"},
		"sensitive group by id":  {func(c *Case) { c.Facts.Groups = []string{"s-1-5-21-77"} }, "sensitive_groups"},
		"no notice":              {func(c *Case) { c.Notice = false }, "no_notice"},
	} {
		t.Run(name, func(t *testing.T) {
			one := good()
			c.change(&one)
			e := g.Judge(one)
			if e == nil || e.Code != protocol.CodePermissionDenied || !strings.Contains(e.Message, c.want) {
				t.Errorf("got %v, want permission_denied with %q", e, c.want)
			}
		})
	}
}

func TestSensitiveAccountPassesOnEvidenceThatTheAgentChecked(t *testing.T) {
	g := must(t, rules)
	c := good()
	c.Facts.Groups, c.Strict = []string{"finance"}, true
	if e := g.Judge(c); e != nil {
		t.Errorf("refused: %v", e)
	}
	c.Facts.Privileged = "adminCount is 1"
	if e := g.Judge(c); e == nil {
		t.Error("strict evidence opened a built-in administrator")
	}
}

func TestT34_WithoutANoticeTheDefaultRefuses(t *testing.T) {
	c := good()
	c.Notice = false
	if e := must(t, Rules{}).Judge(c); e == nil {
		t.Error("the zero value allows an account without notice")
	}
	if e := must(t, Rules{NoNotice: "allow"}).Judge(c); e != nil {
		t.Errorf("allow refuses: %v", e)
	}
}

// A protected account stays protected whatever the rest of the facts are.
func TestP02_NoCombinationOpensAProtectedAccount(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	for range 5000 {
		loose := Rules{NoNotice: pick("allow", "refuse", "")}
		if r.IntN(2) == 0 {
			loose.Operations = []protocol.Operation{protocol.Unlock}
		}
		c := good()
		c.Notice, c.Strict = r.IntN(2) == 0, r.IntN(2) == 0
		c.Facts.DN = pick("", "cn=a", c.Facts.DN)
		c.Facts.Groups = []string{pick("finance", "x")}
		switch r.IntN(3) {
		case 0:
			c.Facts.Privileged = pick("krbtgt", "adminCount is 1", "member of Domain Admins")
		case 1:
			c.Facts.Self = true
		default:
			c.Facts.Disabled = true
		}
		if e := must(t, loose).Judge(c); e == nil {
			t.Fatalf("allowed: %+v under %+v", c, loose)
		}
	}
}

// clock is a clock that tests set.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(c.at.Load(), 0) }

func TestT31_LimitsCountWhatWasPerformedAndNothingElse(t *testing.T) {
	var c clock
	c.at.Store(1_800_000_000)
	g, err := New(Rules{PerAccountPerHour: 2, PerHour: 4, PerDay: 5}, nil, c.now)
	if err != nil {
		t.Fatal(err)
	}
	reserve := func(account, want string) *Slot {
		t.Helper()
		s, e := g.Reserve(account)
		if (e == nil) != (want == "") || e != nil && (e.Code != protocol.CodeRateLimited || !strings.Contains(e.Message, want)) {
			t.Fatalf("reserve %s: %v, want %q", account, e, want)
		}
		return s
	}
	for range 100 { // refusals and cases that were only judged count nothing
		g.Judge(Case{})
		reserve("a", "").Release()
	}
	reserve("a", "")
	reserve("a", "")
	reserve("a", "per_account_per_hour")
	reserve("b", "")
	reserve("c", "")
	reserve("d", "per_hour")
	c.at.Add(3600)
	reserve("a", "")
	reserve("b", "per_day")
	c.at.Add(23 * 3600)
	reserve("b", "")
}

func TestLimitsSurviveARestart(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	done := []Performed{{Account: "a", At: at.Add(-50 * time.Minute)}}
	g, err := New(Rules{PerAccountPerHour: 1}, done, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	if _, e := g.Reserve("a"); e == nil {
		t.Error("the operation before the restart was forgotten")
	}
}

func TestRulesThatMakeNoSenseAreRefused(t *testing.T) {
	for name, r := range map[string]Rules{
		"operation": {Operations: []protocol.Operation{"explode"}},
		"base":      {BaseDNs: []string{"people"}},
		"limit":     {PerDay: -1},
		"notice":    {NoNotice: "maybe"},
		"group":     {RefusedGroups: []string{" "}},
	} {
		if _, err := New(r, nil, time.Now); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestHashNamesTheRulesInForce(t *testing.T) {
	h := must(t, rules).Hash()
	other := rules
	other.Operations = slices.Clone(rules.Operations)
	slices.Reverse(other.Operations)
	if must(t, other).Hash() != h {
		t.Error("the order of a list changes the hash")
	}
	explicit := rules
	explicit.PerDay = defaultPerDay
	if must(t, explicit).Hash() != h {
		t.Error("a default that is written out changes the hash")
	}
	for i, change := range []func(*Rules){
		func(r *Rules) { r.PerDay = 7 }, func(r *Rules) { r.NoNotice = "allow" }, func(r *Rules) { r.RefusedGroups = nil },
		func(r *Rules) { r.BaseDNs = nil }, func(r *Rules) { r.SensitiveGroups = nil }, func(r *Rules) { r.Operations = nil },
	} {
		wider := rules
		change(&wider)
		if must(t, wider).Hash() == h {
			t.Errorf("change %d leaves the hash", i)
		}
	}
}

func TestDNsAreComparedLevelByLevel(t *testing.T) {
	base, err := parseDN("OU=Sales  Dept, DC=Corp , dc=example")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"ou=sales dept,dc=corp,dc=example":                true,
		"CN=Doe\\, Kim,OU=Sales Dept,DC=corp,DC=example":  true,
		`cn=a+uid=b,ou=sales\20dept,dc=corp,dc=example`:   true,
		`cn=\c3\a4,ou=sales dept,dc=corp,dc=example`:      true,
		"dc=corp,dc=example":                              false,
		"cn=a,ou=xsales dept,dc=corp,dc=example":          false,
		`cn=a\,ou=sales dept,dc=corp,dc=example`:          false,
		`cn=a,ou=sales dept\,dc=corp,dc=example`:          false,
		"cn=a,ou=sales dept,dc=corp,dc=example,dc=evil":   false,
		"cn=a,o=sales dept+ou=sales dept,dc=corp,dc=test": false,
		"": false,
	} {
		d, err := parseDN(text)
		if got := err == nil && d.under(base); got != want {
			t.Errorf("%q under the base = %v (%v), want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"x", "=a", "a=b,", "a=b,,c=d", `a="q,b=c"`, "a=#0401", `a=\`, `a=\zz`, "a b=c", strings.Repeat("a=b,", 3000) + "a=b"} {
		if d, err := parseDN(bad); err == nil {
			t.Errorf("%.20q was read as %q", bad, d)
		}
	}
}

func FuzzDN(f *testing.F) {
	f.Add("cn=a,dc=b")
	f.Add(`cn=a\2c\,+x=y,dc=b`)
	base, _ := parseDN("ou=people,dc=corp")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDN(text)
		if err != nil {
			return
		}
		if len(d) == 0 {
			t.Fatal("an empty name was accepted")
		}
		below, err := parseDN(text + ",ou=people,dc=corp")
		if err == nil && !below.under(base) {
			t.Fatalf("%q is not under its own base: %q", text, below)
		}
		if d.under(base) && !strings.Contains(strings.ToLower(text), "dc") {
			t.Fatal(fmt.Sprint("under the base without naming it: ", text))
		}
	})
}
