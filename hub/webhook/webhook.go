package webhook

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// An Event is what a webhook can subscribe to, in the spelling of the public documents.
type Event string

// The events. Those after DirectoryProviderErr are accepted in subscriptions and sent by
// parts that come with them.
const (
	Recover              Event = "recover"
	DirectoryProviderErr Event = "directory_provider_err"
	Share                Event = "share"
	Reject               Event = "reject"
	Request              Event = "request"
	Audit                Event = "audit"
	Picture              Event = "picture"
	ManualRevoked        Event = "manual_verification_revoked" // ours
)

// Events is the vocabulary of subscriptions.
var Events = []Event{Share, Reject, Recover, Request, Audit, DirectoryProviderErr, Picture, ManualRevoked}

// KnownEvent returns the event that a subscription names; "revoke" is an alias of
// "reject" in the public documents.
func KnownEvent(name string) (Event, bool) {
	if name == "revoke" {
		return Reject, true
	}
	return Event(name), slices.Contains(Events, Event(name))
}

// Config is what Open needs. Zero values stand for the usual choice.
type Config struct {
	Store    *store.Store
	Log      *slog.Logger
	Resolver Resolver         // nil: the system's
	Private  []netip.Prefix   // networks of the operator that webhooks may reach, by http:// too
	Roots    *x509.CertPool   // nil: the system's
	Now      func() time.Time // nil: time.Now
	Patience time.Duration    // with one answer to the question recover; 0: ten seconds
}

// Hooks calls webhooks. It is safe for use by many goroutines.
type Hooks struct {
	store    *store.Store
	log      *slog.Logger
	now      func() time.Time
	sender   *sender
	wake     chan struct{}
	patience time.Duration // with the blocking question
}

// New makes Hooks. The caller runs Run, which delivers what is queued.
func New(c Config) (*Hooks, error) {
	if c.Store == nil {
		return nil, errors.New("webhook: no store")
	}
	if err := allAllowed(c.Private); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Hooks{c.Store, c.Log, c.Now, newSender(c), make(chan struct{}, 1), cmp.Or(c.Patience, recoverTimeout)}, nil
}

// subscribed lists the enabled webhooks of an environment for an event.
func subscribed(ctx context.Context, tx *store.Tx, env string, e Event) ([]store.Webhook, error) {
	all, err := tx.Webhooks(ctx, env)
	return slices.DeleteFunc(all, func(w store.Webhook) bool { return !w.Enabled || !slices.Contains(w.Events, string(e)) }), err
}

// maxBody bounds what is told of one event. Every part of every body has a bound of its
// own that keeps it far below.
const maxBody = 1 << 20

// whom says what an event is about: what tells of one person or trace arrives in its
// order, and what tells of a person goes with them.
type whom struct {
	person string // by the name that the audit log uses; "": nobody
	trace  string // the request or recovery; "": none
}

// queue puts an event into the outbox of every webhook that wants it, in the caller's
// transaction: what happened and that it will be told of are one.
func queue(ctx context.Context, tx *store.Tx, env string, e Event, about whom, body any) error {
	hooks, err := subscribed(ctx, tx, env, e)
	if err != nil || len(hooks) == 0 {
		return err
	}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if len(b) > maxBody {
		return fmt.Errorf("webhook: %s has %d bytes; at most %d are told", e, len(b), maxBody)
	}
	for _, w := range hooks {
		err := tx.AddDelivery(ctx, store.Delivery{Env: env, Webhook: w.ID, Event: string(e), Person: about.person, Trace: about.trace, Body: string(b)})
		if err != nil {
			return err
		}
	}
	return nil
}

// A DirectoryError is what went wrong at a directory.
type DirectoryError struct {
	Directory     string
	DirectoryKind string
	Action        string // SyncAction, or what protocol.ProviderAction returns
	Language      string // Accept-Language of whoever asked; "" for a sync
	Subject       string // person; "" if the error concerns no account
	ExternalID    string // account's immutable id; "" if the error concerns no account
	Trace         string // id of the operation at the agent, for logs
	Error         string // for administrators; never a secret
}

// SyncAction is the action of a DirectoryError that stopped a sync.
const SyncAction = "sync"

type providerErr struct {
	EventType     Event     `json:"event_type"`
	Language      string    `json:"language"`
	Directory     string    `json:"directory"`
	DirectoryKind string    `json:"directory_kind"`
	Action        string    `json:"action"`
	OrgName       string    `json:"org_name"`
	EnvName       string    `json:"env_name"`
	Date          time.Time `json:"date"`
	Subject       string    `json:"subject"`
	ExternalID    string    `json:"external_id"`
	Context       struct {
		ProviderRequestID string `json:"provider_request_id"`
	} `json:"context"`
	Error string `json:"error"`
}

// DirectoryFailed queues the event directory_provider_err in the caller's transaction.
// After that has committed, Wake hastens the delivery.
func (h *Hooks) DirectoryFailed(ctx context.Context, tx *store.Tx, env string, e DirectoryError) error {
	names, err := tx.EnvironmentNames(ctx, env)
	if err != nil {
		return err
	}
	body := providerErr{
		EventType: DirectoryProviderErr, Language: e.Language, Directory: e.Directory, DirectoryKind: e.DirectoryKind, Action: e.Action,
		OrgName: names.Org, EnvName: names.Env, Date: h.now().UTC(), Subject: e.Subject, ExternalID: e.ExternalID, Error: e.Error,
	}
	body.Context.ProviderRequestID = e.Trace
	about := whom{trace: cmp.Or(e.Trace, e.Directory)}
	if e.ExternalID != "" {
		if about.person, err = personOf(ctx, tx, env, e.Directory, e.ExternalID); err != nil {
			return err
		}
	}
	return queue(ctx, tx, env, DirectoryProviderErr, about, body)
}

// Wake makes Run look at the outbox now.
func (h *Hooks) Wake() {
	select {
	case h.wake <- struct{}{}:
	default: // it will look anyway
	}
}
