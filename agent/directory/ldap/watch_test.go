package ldap

import (
	"context"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestAWatchedDirectoryTellsWhatIsListedAtOnce(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 3})
	d := openAt(t, configFor(t, s.Addr(), s.CAFile))
	h := hands(s, usual)
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
		for len(told) > 0 { // a change may be told in two
			<-told
		}
	}
	hears("the beginning")
	p := h.Add(t, "watched")
	hears("a new account")
	p = h.Rename(t, p, "Watched One")
	hears("a new name")
	group := h.Group(t, "Watch list", p.DN)
	hears("a new group")
	h.Member(t, group, p.DN, false)
	hears("who left a group")
	h.Delete(t, p.DN)
	hears("a deletion")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Watch = %v", err)
	}
}

func TestAWatchEndsWithItsConnectionAndWhereNobodyTells(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 3})
	c := testenv.NewCutter(t, s.Addr())
	d := openAt(t, configFor(t, c.Addr, c.CAFile))
	begun, ended := make(chan struct{}, 10), make(chan error)
	go func() { ended <- d.Watch(t.Context(), func() { begun <- struct{}{} }) }()
	<-begun
	c.Break()
	if err := <-ended; protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Errorf("a cut connection: %v", err)
	}
	cfg := configFor(t, s.Addr(), s.CAFile)
	cfg.NoSync = true
	if err := openAt(t, cfg).Watch(t.Context(), func() {}); protocol.CodeOf(err) != protocol.CodeUnsupported {
		t.Errorf("without RFC 4533: %v", err)
	}
}
