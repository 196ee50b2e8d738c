package ad

import (
	"context"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestAWatchedDomainTellsWhatIsListedAtOnce(t *testing.T) {
	s, d := open(t)
	h := hands(s)
	p, group := h.Add(t, "watched"), h.Group(t, "Watch list", "CN=Anna Berg,"+testenv.SambaStaff)
	defer h.Delete(t, group)
	told := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- d.Watch(ctx, func() { told <- struct{}{} }) }()
	hears := func(what string) {
		t.Helper()
		begin := time.Now()
		select {
		case <-told:
			t.Logf("%s: told after %v", what, time.Since(begin).Round(time.Millisecond))
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: nobody was told", what)
		}
	}
	hears("the beginning")
	s.Set(t, p.DN, map[string][]string{"telephoneNumber": {"1"}}) // not listed: the next message is of what follows
	s.Set(t, p.DN, map[string][]string{"displayName": {"Watched One"}})
	hears("a new name")
	h.Member(t, group, p.DN, true)
	hears("a new member")
	h.Delete(t, p.DN)
	hears("a deletion")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Watch = %v", err)
	}
	if len(told) > 3 { // a change may be told in two
		t.Errorf("%d messages too many", len(told))
	}
}

func TestAWatchEndsWithItsConnection(t *testing.T) {
	s := testenv.SharedSamba(t)
	c := testenv.NewCutter(t, s.Addr+":636")
	d, err := Open(Config{Config: ldapconn.Config{
		URLs: []string{"ldaps://" + c.Addr}, CAFile: c.CAFile, BindDN: testenv.SambaService, Password: protocol.NewSecret(testenv.SambaServicePassword),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	begun := make(chan struct{}, 10)
	ended := make(chan error)
	go func() { ended <- d.Watch(t.Context(), func() { begun <- struct{}{} }) }()
	<-begun
	c.Break()
	if err := <-ended; protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Errorf("Watch = %v", err)
	}
}
