package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// An office is a real slapd with people who all have a private address. Its agent
// reaches it through a cutter, which can stop requests on their way.
type office struct {
	t      *testing.T
	slapd  *testenv.Slapd
	cutter *testenv.Cutter
}

// A colleague works in the office.
type colleague struct{ dn, email, personal string }

// colleagues of an office.
const colleagues = 8

// colleague returns one of them.
func (o *office) colleague(i int) colleague {
	uid := fmt.Sprintf("emp%06d", i)
	return colleague{testenv.SlapdDN(uid), uid + "@corp.example", uid + "@home.example"}
}

func openOffice(t *testing.T) *office { t.Helper(); return openOfficeOf(t, colleagues) }

// openOfficeOf is an office of so many colleagues.
func openOfficeOf(t *testing.T, people int) *office {
	t.Helper()
	return openOfficeWith(t, testenv.SlapdOptions{People: people})
}

// openOfficeWith is an office whose server is of a kind of its own.
func openOfficeWith(t *testing.T, options testenv.SlapdOptions) *office {
	t.Helper()
	o := &office{t: t, slapd: testenv.StartSlapd(t, options)}
	var ldif strings.Builder
	for i := range options.People {
		who := o.colleague(i)
		fmt.Fprintf(&ldif, "dn: %s\nchangetype: modify\nadd: corpPersonalMail\ncorpPersonalMail: %s\n\n", who.dn, who.personal)
	}
	o.slapd.Modify(t, ldif.String())
	o.cutter = testenv.NewCutter(t, o.slapd.Addr())
	return o
}

// agent is the file of an agent of the office.
func (o *office) agent() agentConfig {
	c := slapdAgent(o.slapd)
	c.Directory = strings.NewReplacer(o.slapd.URL(), "ldaps://"+o.cutter.Addr, o.slapd.CAFile, o.cutter.CAFile).Replace(c.Directory)
	return c
}

// changes is how often the agent wrote to somebody's entry, from the server's own log.
func (o *office) changes(who colleague) int {
	o.t.Helper()
	return len(o.slapd.Changes(o.t, who.dn, testenv.SlapdAgent))
}

// wasReset checks that the secret signs in, the old password does not, and the
// directory was written to once.
func (o *office) wasReset(who colleague, secret string) {
	o.t.Helper()
	if err := o.slapd.WhoAmI(who.dn, secret); err != nil {
		o.t.Errorf("%s: the temporary password does not sign in: %v", who.email, err)
	}
	if o.slapd.WhoAmI(who.dn, testenv.SlapdEmployeePassword) == nil {
		o.t.Errorf("%s: the old password still signs in", who.email)
	}
	if n := o.changes(who); n != 1 {
		o.t.Errorf("%s: %d modifies in the directory's own log, want 1", who.email, n)
	}
}

// unchanged checks that nobody wrote to the entry.
func (o *office) unchanged(who colleague) {
	o.t.Helper()
	if n := o.changes(who); n != 0 {
		o.t.Errorf("%s: %d modifies in the directory's own log, want none", who.email, n)
	}
	if err := o.slapd.WhoAmI(who.dn, testenv.SlapdEmployeePassword); err != nil {
		o.t.Errorf("%s: the password does not sign in any more: %v", who.email, err)
	}
}

// holdModify makes the next write of the agent wait before the server. came is closed
// when it is there; release lets it through.
func (o *office) holdModify() (came <-chan struct{}, release func()) {
	there, free := make(chan struct{}), make(chan struct{})
	first, released := true, false
	o.cutter.On(func(op byte) testenv.Cut {
		if first && (op == testenv.LDAPModify || op == testenv.LDAPExtended) {
			first = false
			close(there)
			<-free
		}
		return testenv.Pass
	})
	release = func() {
		if !released {
			released = true
			close(free)
		}
	}
	o.t.Cleanup(release)
	return there, release
}
