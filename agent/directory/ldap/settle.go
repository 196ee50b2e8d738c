package ldap

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Times around change stamps.
const (
	stampWait   = 1100 * time.Millisecond // pwdChangedTime counts whole seconds: this many later it surely differs
	clockSkew   = 10 * time.Minute        // between the agent's clock and a server's
	ourSequence = 2 * time.Second         // a password and must-change after it, in two modifications
)

// A stamp is what an account looked like before a change, and where it was seen.
type stamp struct {
	Server  string `json:"server"`
	Change  string `json:"change"`            // entryCSN or modifyTimestamp: moves with failed sign-ins too
	Changed string `json:"changed,omitempty"` // pwdChangedTime: moves with the password only, but in whole seconds
	Locked  string `json:"locked,omitempty"`
	MFA     bool   `json:"mfa,omitempty"`
}

func readStamp(text string) (stamp, error) {
	var s stamp
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Server == "" {
		return stamp{}, protocol.Err(protocol.CodeBadRequest, "this is not a change stamp of this directory")
	}
	return s, nil
}

func (d *Directory) stampOf(server string, s state) stamp {
	return stamp{
		Server: server, Change: first(entry{s.entry}, d.cfg.ChangeAttribute), Changed: first(entry{s.entry}, d.cfg.PasswordChangedAttribute),
		Locked: s.locked, MFA: s.mfa,
	}
}

// Stamp implements directory.Writer. It waits where the stored second may not be over.
func (d *Directory) Stamp(ctx context.Context, id string, tasks []protocol.Task) (text string, err error) {
	plan, err := directory.PlanOf(tasks)
	if err != nil {
		return "", err
	}
	var s stamp
	err = d.pool.Do(ctx, "", func(c *ldapconn.Conn) error {
		now, err := d.readState(ctx, c, id)
		if err == nil {
			s = d.stampOf(c.Server(), now)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if s.mayRepeat(time.Now(), plan.Reset) {
		if err := pause(ctx, stampWait); err != nil {
			return "", err
		}
	}
	b, err := json.Marshal(s)
	return string(b), err
}

// mayRepeat reports whether a change made now might get a stored time again. By the
// server's own clock a password cannot if the entry changed in a later second, by ours
// nothing can if the stored time is older than any difference between clocks.
func (s stamp) mayRepeat(now time.Time, password bool) bool {
	if last, ok := changeTime(s.Change); ok && !strings.Contains(s.Change, ".") && now.Sub(last).Abs() < clockSkew {
		return true
	}
	changed, ok := generalizedTime(s.Changed)
	if !password || !ok || strings.Contains(s.Changed, ".") { // finer than seconds
		return false
	}
	if last, ok := changeTime(s.Change); ok && last.Sub(changed) >= time.Second {
		return false
	}
	return now.Sub(changed).Abs() < clockSkew
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ldapconn.Explain(ctx.Err(), protocol.CodeUnavailable, "the request ended before the change stamp was safe")
	}
}

// Settle implements directory.Writer.
func (d *Directory) Settle(ctx context.Context, c directory.Change) (protocol.State, error) {
	before, err := readStamp(c.Stamp)
	if err != nil {
		return protocol.Unknown, nil // nobody can tell any more
	}
	if listed, err := d.pool.Names(ctx, before.Server); err != nil || !listed {
		return protocol.Unknown, err
	}
	plan, err := directory.PlanOf(c.Tasks)
	if err != nil {
		return "", err
	}
	conn, err := d.pool.Fresh(ctx, before.Server)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	s, err := d.afterOthers(ctx, conn, c.ID, plan)
	if protocol.CodeOf(err) == protocol.CodeAccountNotFound {
		return protocol.Unknown, nil
	}
	if err != nil {
		return "", err
	}
	now := d.stampOf(before.Server, s)
	switch {
	case now.Change != "" && now.Change == before.Change:
		return protocol.Unchanged, nil
	case plan.Reset:
		return d.settleReset(ctx, c, before, now, s)
	}
	return settleFlags(plan, before, now), nil
}

// afterOthers reads an account once every write that was under way has ended. The
// change whose answer was lost may still wait for its turn in the server; a probe is a
// write that changes nothing, and it waits for its turn too.
func (d *Directory) afterOthers(ctx context.Context, conn *ldapconn.Conn, id string, plan directory.Plan) (state, error) {
	e, err := d.find(ctx, conn, id)
	if err != nil {
		return state{}, err
	}
	plan.MustChange = false // the password's probe waits as well
	if err := d.probe(ctx, conn, e.DN, plan); protocol.CodeOf(err) == protocol.CodeUnavailable {
		return state{}, err
	}
	return d.readState(ctx, conn, id)
}

// settleReset looks at the password. It is known to be ours if it signs in, or if the
// last modification of the entry was the agent's and is the one that set it.
func (d *Directory) settleReset(ctx context.Context, c directory.Change, before, now stamp, s state) (protocol.State, error) {
	if before.Changed != "" && now.Changed == before.Changed {
		return protocol.Unchanged, nil
	}
	if c.Password.Empty() || d.cfg.SkipVerify {
		return d.settleByStamp(before, now, s), nil
	}
	answer, err := d.pool.SignIn(ctx, before.Server, s.entry.DN, c.Password)
	if err != nil {
		return "", err
	}
	if answer.OK() {
		return protocol.Done, nil
	}
	return protocol.Unknown, nil
}

// settleByStamp decides without the password. A failed sign-in after our write already
// hides who wrote: then a person must look.
func (d *Directory) settleByStamp(before, now stamp, s state) protocol.State {
	ours := ldapconn.SameDN(first(entry{s.entry}, "modifiersName"), d.cfg.BindDN)
	if !ours || now.Change == before.Change {
		return protocol.Unknown
	}
	if now.Changed == "" && !s.server.policy {
		return protocol.Done
	}
	changed, ok := generalizedTime(now.Changed)
	last, ok2 := changeTime(now.Change)
	if ok && ok2 && last.Sub(changed) <= ourSequence {
		return protocol.Done
	}
	return protocol.Unknown
}

// settleFlags looks at what an unlock or the removal of authenticators leaves behind:
// both are one modification, and what they remove does not vanish by itself.
func settleFlags(plan directory.Plan, before, now stamp) protocol.State {
	switch {
	case plan.RemoveMFA && before.MFA && !now.MFA:
		return protocol.Done
	case plan.Unlock && !plan.RemoveMFA && now.Locked == "":
		return protocol.Done
	case plan.Unlock && now.Locked != "" && now.Locked == before.Locked:
		return protocol.Unchanged
	}
	return protocol.Unknown
}
