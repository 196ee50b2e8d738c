package ldapconn

import (
	"context"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Bounds of a refresh.
const (
	refreshWithin = 5 * time.Minute // a server without a log of its sessions names everything that it has
	maxRefreshed  = 20000           // changes that are kept; for more, reading everything is cheaper
)

// OIDSync is the control of content synchronisation (RFC 4533).
const OIDSync = ldap.ControlTypeSyncRequest

// A Refresh is what changed since a cookie (RFC 4533 section 3.3).
type Refresh struct {
	Changed [][16]byte // entryUUIDs of what was added, changed, renamed or moved
	Deleted [][16]byte // of what is not there any more, as far as the server told
	Present bool       // the server named what did not change, not what was deleted
	Deletes bool       // the server says that it named all deletions
	Over    bool       // there are more changes than are kept
	Cookie  []byte     // for the next time
}

// Nothing reports that nothing changed at all.
func (r Refresh) Nothing() bool {
	return len(r.Changed) == 0 && len(r.Deleted) == 0 && !r.Over && !r.Present
}

// Refresh asks what changed since a cookie (RFC 4533 refreshOnly). Without a cookie
// everything has changed. The request names no attributes that are needed: of entries
// only the id is kept.
func (c *Conn) Refresh(ctx context.Context, r *ldap.SearchRequest, cookie []byte) (found Refresh, err error) {
	if err := c.ready(ctx); err != nil {
		return found, err
	}
	err = c.runWithin(ctx, refreshWithin, func() error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		answers := c.ldap.Syncrepl(ctx, r, persistBuffer, ldap.SyncRequestModeRefreshOnly, cookie, false)
		for answers.Next() {
			for _, control := range answers.Controls() {
				found.note(control)
			}
		}
		return answers.Err()
	})
	if len(found.Cookie) == 0 {
		found.Cookie = cookie // RFC 4533 section 3.1: nothing changed
	}
	return found, readFailure(err)
}

// note takes one control of an answer up.
func (r *Refresh) note(control ldap.Control) {
	switch c := control.(type) {
	case *ldap.ControlSyncState:
		if c.State == ldap.SyncStateDelete {
			r.Deleted = r.keep(r.Deleted, c.EntryUUID)
		} else if c.State != ldap.SyncStatePresent {
			r.Changed = r.keep(r.Changed, c.EntryUUID)
		} else {
			r.Present = true
		}
		r.take(c.Cookie)
	case *ldap.ControlSyncInfo:
		r.noteInfo(c)
	case *ldap.ControlSyncDone:
		r.Deletes = c.RefreshDeletes
		r.take(c.Cookie)
	}
}

func (r *Refresh) noteInfo(c *ldap.ControlSyncInfo) {
	switch {
	case c.NewCookie != nil:
		r.take(c.NewCookie.Cookie)
	case c.RefreshPresent != nil:
		r.Present = true
	case c.SyncIdSet != nil && c.SyncIdSet.RefreshDeletes:
		for _, id := range c.SyncIdSet.SyncUUIDs {
			r.Deleted = r.keep(r.Deleted, id)
		}
	case c.SyncIdSet != nil:
		r.Present = true
	}
}

func (r *Refresh) keep(list [][16]byte, id [16]byte) [][16]byte {
	if len(list) >= maxRefreshed {
		r.Over = true
		return list
	}
	return append(list, id)
}

func (r *Refresh) take(cookie []byte) {
	if len(cookie) > 0 {
		r.Cookie = cookie
	}
}
