package webhook

import (
	"context"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// An Alarm is something about which people must hear at once, told as the event of the
// audit log that it is.
type Alarm struct {
	Kind       string // of the event
	Trace      string // the recovery
	Directory  string
	Subject    string // person; "" if unknown
	ExternalID string // account's immutable id; "" if unknown
	Action     string
	RemoteAddr string // of the browser that began
	UserAgent  string
	At         time.Time
}

type alarmAbout struct {
	Directory  string `json:"directory"`
	Subject    string `json:"subject"`
	ExternalID string `json:"external_id"`
	Action     string `json:"action"`
}

// Alarm queues the event audit in the caller's transaction: the members of an AuditEvent,
// whose payload bears the name of its kind.
func (h *Hooks) Alarm(ctx context.Context, tx *store.Tx, env string, a Alarm) error {
	names, err := tx.EnvironmentNames(ctx, env)
	if err != nil {
		return err
	}
	about := whom{trace: a.Trace}
	if about.person, err = personOf(ctx, tx, env, a.Directory, a.ExternalID); err != nil {
		return err
	}
	return queue(ctx, tx, env, Audit, about, map[string]any{
		"event_type": Audit, "kind": a.Kind, "time": a.At.UTC(), "trace": a.Trace, "org_name": names.Org, "env_name": names.Env, "env": env,
		"remote_addr": a.RemoteAddr, "user_agent": a.UserAgent, a.Kind: alarmAbout{a.Directory, a.Subject, a.ExternalID, a.Action},
	})
}
