package directorytest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// changeRequests are the requests that change something: kinds use one or the other.
func changeRequest(op byte) bool { return op == testenv.LDAPModify || op == testenv.LDAPExtended }

// onceAt cuts the next request that changes something.
func onceAt(c *testenv.Cutter, cut testenv.Cut) {
	var done sync.Once
	c.On(func(op byte) (decision testenv.Cut) {
		if changeRequest(op) {
			done.Do(func() { decision = cut })
		}
		return decision
	})
}

func (f Fixture) dropped(t *testing.T) {
	d, c := f.behind(t)
	look := func(what string) {
		t.Helper()
		if got, err := d.Get(within(t), protocol.Ref{ID: f.Person.ID}); err != nil || len(got) != 1 {
			t.Errorf("%s: %d accounts, %v", what, len(got), err)
		}
	}
	look("at first")
	c.Break()
	look("after a drop")
	c.Once(testenv.LDAPSearch, testenv.CutBefore)
	look("with a drop in the request")
	p, password := f.Spares[3], newPassword()
	change := f.change(t, d, p, reset, password)
	c.Break()
	if _, err := d.Perform(within(t), change); err != nil {
		t.Errorf("a change after a drop: %v", err)
	}
	f.signsIn(t, p, password, "")
	c.Refuse(true)
	c.Break()
	_, err := d.Perform(within(t), change)
	wantCode(t, "a change without a server", err, protocol.CodeUnavailable)
	if errors.Is(err, directory.ErrUnsure) {
		t.Error("a change that was never sent is called unsure")
	}
	_, err = d.Get(within(t), protocol.Ref{ID: f.Person.ID})
	wantCode(t, "a look-up without a server", err, protocol.CodeUnavailable)
	if _, err = d.Settle(within(t), change); err == nil {
		t.Error("settled without asking the server")
	}
	c.Refuse(false)
	look("with the server back")
}

func (f Fixture) settle(t *testing.T) {
	d, c := f.behind(t)
	p, current := f.Spares[3], newPassword()
	f.perform(t, d, p, reset, current)
	try := func(what string, cut testenv.Cut, want protocol.State) {
		t.Helper()
		next := newPassword()
		change := f.change(t, d, p, reset, next)
		onceAt(c, cut)
		ctx, cancel := context.WithTimeout(within(t), 5*time.Second)
		defer cancel()
		_, err := d.Perform(ctx, change)
		if !errors.Is(err, directory.ErrUnsure) {
			t.Fatalf("%s: %v, want unsure", what, err)
		}
		if state, err := d.Settle(within(t), change); err != nil || state != want {
			t.Errorf("%s: settled as %q, %v; want %q", what, state, err, want)
		}
		change.Password = protocol.Secret{} // as after a restart of the agent
		if state, err := d.Settle(within(t), change); err != nil || state != want {
			t.Errorf("%s, after a restart: settled as %q, %v; want %q", what, state, err, want)
		}
		if want == protocol.Done {
			f.signsIn(t, p, next, current)
			current = next
		}
		f.signsIn(t, p, current, "")
	}
	try("lost before the server", testenv.CutBefore, protocol.Unchanged)
	try("lost after the server", testenv.CutAfter, protocol.Done)
	try("answer held back", testenv.HoldAnswer, protocol.Done)
	try("lost before the server, again", testenv.CutBefore, protocol.Unchanged)
	f.settleMeddled(t, d, p)
	f.settleUnlock(t, d, c)
}

// settleMeddled checks that somebody else's change is not taken for ours.
func (f Fixture) settleMeddled(t *testing.T, d directory.Directory, p Person) {
	t.Helper()
	if f.Meddle == nil {
		return
	}
	change := f.change(t, d, p, reset, newPassword())
	theirs := newPassword()
	f.Meddle(t, p.DN, theirs)
	if state, err := d.Settle(within(t), change); err != nil || state != protocol.Unknown {
		t.Errorf("somebody else's change is settled as %q, %v; want unknown", state, err)
	}
	f.signsIn(t, p, theirs, "")
}

// settleUnlock checks an unlock whose answer is lost.
func (f Fixture) settleUnlock(t *testing.T, d directory.Directory, c *testenv.Cutter) {
	t.Helper()
	if f.Lock == nil {
		return
	}
	p, password := f.Spares[1], newPassword()
	f.perform(t, d, p, resetUnlock, password)
	for cut, want := range map[testenv.Cut]protocol.State{testenv.CutBefore: protocol.Unchanged, testenv.CutAfter: protocol.Done} {
		f.Lock(t, p.DN)
		change := f.change(t, d, p, unlock, "")
		onceAt(c, cut)
		if _, err := d.Perform(within(t), change); !errors.Is(err, directory.ErrUnsure) {
			t.Fatalf("unlock: %v, want unsure", err)
		}
		if state, err := d.Settle(within(t), change); err != nil || state != want {
			t.Errorf("unlock: settled as %q, %v; want %q", state, err, want)
		}
		if signedIn := f.SignIn(p.DN, password) == nil; signedIn != (want == protocol.Done) {
			t.Errorf("unlock, %s: signs in: %v", want, signedIn)
		}
		f.perform(t, d, p, resetUnlock, password+"2")
		password += "2"
	}
}

func (f Fixture) concurrency(t *testing.T) {
	d := f.open(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			p := f.known()[i%len(f.known())]
			if got, err := d.Get(within(t), protocol.Ref{ID: p.ID}); err != nil || len(got) != 1 {
				t.Errorf("%s: %d accounts, %v", p.DN, len(got), err)
			}
		})
	}
	passwords := make([]string, len(f.Spares))
	for i, p := range f.Spares {
		passwords[i] = newPassword()
		c := f.change(t, d, p, resetUnlock, passwords[i])
		if f.Lock == nil {
			c = f.change(t, d, p, reset, passwords[i])
		}
		wg.Go(func() {
			if _, err := d.Perform(within(t), c); err != nil {
				t.Errorf("%s: %v", p.DN, err)
			}
		})
	}
	wg.Wait()
	for i, p := range f.Spares {
		f.signsIn(t, p, passwords[i], "")
	}
}
