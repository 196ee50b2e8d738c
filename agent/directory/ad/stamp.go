package ad

import (
	"context"
	"encoding/json"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// A stamp is what one controller knew of the writes of an account before a change.
type stamp struct {
	Server     string `json:"server"` // for ldapconn
	DC         string `json:"dc"`     // its invocationId
	Now        int64  `json:"now"`    // Unix seconds by its clock
	Password   write  `json:"pwd"`
	Last       write  `json:"last"` // pwdLastSet
	Lock       write  `json:"lock"` // lockoutTime
	MustChange bool   `json:"-"`    // pwdLastSet is 0
	Unlocked   bool   `json:"-"`    // lockoutTime is 0 or absent
}

// slack is how long after the stamp our write can have taken place: the life of one
// operation, and as much again for a controller that was slow to answer.
const slack = int64(2 * protocol.MaxOperationLife / time.Second)

// maxStamp bounds a stamp that comes back from the journal.
const maxStamp = 2 << 10

// Stamp implements directory.Writer. It reads replication metadata, which counts every
// write of an attribute; pwdLastSet itself is 0 before and after a second reset.
func (d *Directory) Stamp(ctx context.Context, id string, tasks []protocol.Task) (string, error) {
	if _, err := planOf(tasks); err != nil {
		return "", err
	}
	var s stamp
	err := d.atPDC(ctx, func(c *ldapconn.Conn) (err error) {
		s, err = d.readStamp(ctx, c, id)
		return err
	})
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(s)
	return string(text), err
}

func (d *Directory) readStamp(ctx context.Context, c *ldapconn.Conn, id string) (stamp, error) {
	dom, err := readDomain(ctx, c)
	if err != nil {
		return stamp{}, err
	}
	e, err := d.must(ctx, c, id, "replPropertyMetaData", "pwdLastSet", "lockoutTime")
	if err != nil {
		return stamp{}, err
	}
	writes, err := parseMetadata(e.GetRawAttributeValue("replPropertyMetaData"))
	if err != nil {
		return stamp{}, unreadable("replPropertyMetaData of " + e.DN)
	}
	locked := e.GetAttributeValue("lockoutTime")
	return stamp{
		Server: c.Server(), DC: dom.dc, Now: dom.now.Unix(),
		Password: writes[attUnicodePwd], Last: writes[attPwdLastSet], Lock: writes[attLockoutTime],
		MustChange: e.GetAttributeValue("pwdLastSet") == "0", Unlocked: locked == "" || locked == "0",
	}, nil
}

func parseStamp(text string) (stamp, error) {
	var s stamp
	if len(text) > maxStamp || json.Unmarshal([]byte(text), &s) != nil || s.Server == "" || s.DC == "" {
		return s, protocol.Err(protocol.CodeBadRequest, "the change stamp in the journal is malformed")
	}
	return s, nil
}

// Settle implements directory.Writer.
func (d *Directory) Settle(ctx context.Context, change directory.Change) (protocol.State, error) {
	plan, err := planOf(change.Tasks)
	if err != nil {
		return "", err
	}
	before, err := parseStamp(change.Stamp)
	if err != nil {
		return "", err
	}
	c, err := d.pool.Fresh(ctx, before.Server)
	if err != nil {
		return "", err
	}
	defer c.Close()
	after, err := d.readStamp(ctx, c, change.ID)
	switch {
	case protocol.CodeOf(err) == protocol.CodeAccountNotFound:
		return protocol.Unknown, nil // deleted or moved meanwhile, before or after
	case err != nil:
		return "", err
	}
	state := settle(plan, before, after)
	switch {
	case state == protocol.Unchanged && d.tooSoon(before, after):
		return "", protocol.Err(protocol.CodeUnavailable, "the controller may still be at the change; it is asked again later")
	case state == protocol.Done && plan.Reset && !change.Password.Empty():
		return d.confirm(ctx, before.Server, change)
	}
	return state, nil
}

// tooSoon reports whether a change that is not there may still come: a controller goes
// on with a modify whose connection is gone, and a password filter can hold it up for
// longer than anybody waits. Called unchanged too early, it would come on top of the
// next try. Both times are of the controller's clock.
func (d *Directory) tooSoon(before, after stamp) bool {
	return after.Now-before.Now < int64(d.cfg.SettleAfter/time.Second) // clocks in directories count seconds
}

// settle compares stamps. Done needs a write that only our modify explains: the
// password (or, alone, the lock) was written exactly once, at this controller, within
// the operation's life, and the account shows everything that the plan asks for, written
// with it. Administrators' tools write the password and its flags one after the other.
func settle(plan directory.Plan, before, after stamp) protocol.State {
	if after.DC != before.DC {
		return protocol.Unknown // restored from a backup, or another machine at the address
	}
	main, was := after.Password, before.Password
	if !plan.Reset {
		main, was = after.Lock, before.Lock
	}
	switch {
	case main == was:
		return protocol.Unchanged
	case main.Version != was.Version+1, main.DC != before.DC, main.Time < before.Now-1, main.Time > before.Now+slack:
		return protocol.Unknown
	case plan.MustChange && !(after.MustChange && together(before.Last, after.Last, main)):
		return protocol.Unknown
	case plan.Unlock && !(after.Unlocked && together(before.Lock, after.Lock, main)):
		return protocol.Unknown
	}
	return protocol.Done
}

// together reports whether an attribute has not been written, or once in the same modify
// as main. Samba gives the lock a USN of its own, so the second counts.
func together(was, is, main write) bool {
	if is == was {
		return true
	}
	apart := is.Time - main.Time
	return is.Version == was.Version+1 && is.DC == main.DC && -1 <= apart && apart <= 1
}

// confirm looks whether the password that was to be set is the account's.
func (d *Directory) confirm(ctx context.Context, server string, change directory.Change) (protocol.State, error) {
	var good bool
	err := d.pool.Do(ctx, server, func(c *ldapconn.Conn) error {
		e, err := d.must(ctx, c, change.ID, "distinguishedName")
		if err != nil {
			return err
		}
		good, err = d.signsIn(ctx, server, e.DN, change.Password)
		return err
	})
	switch {
	case err != nil:
		return "", err
	case good:
		return protocol.Done, nil
	}
	return protocol.Unknown, nil
}
