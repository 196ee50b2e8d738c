package request

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
)

// Statuses of a request, as the public API spells them.
const (
	Pending       = "pending"
	InProgress    = "in_progress"
	Shared        = "shared"
	Revoked       = "revoked"
	Cancelled     = "cancelled"
	PersonDeleted = "person_deleted"
	Expired       = "expired"
	ExpiredScopes = "expired_scopes"

	Appealed         = "rejected_appealed"
	RejectedUnusable = "rejected_unusable"
	RejectedFraud    = "rejected_fraud"
)

// Progress of a request, as the public API spells it.
const (
	created      = "created"
	linkOpened   = "link_opened"
	appOpened    = "app_opened" // consented to be asked: there is no app
	idScanned    = "id_scanned"
	faceScanned  = "face_scanned"
	consentGiven = "consent_given"
)

// Events of a request, as webhooks tell them.
const (
	eventCreated    = "request_created"
	eventAccepted   = "request_accepted"
	eventRejected   = "request_rejected"
	eventCanceled   = "request_canceled"
	eventLinkOpened = "request_link_opened"
	eventAppOpened  = "request_app_opened" // consented to be asked
	eventLabel      = "request_label_changed"
	eventExpired    = "request_expired"
	eventUserRevoke = "end_user_revoke"
	eventOurRevoke  = "vendor_revoke"
	eventDeleted    = "vault_deleted"

	eventCodeIssued  = "request_oauth_code_issued"
	eventTokenIssued = "request_oauth_token_issued"

	eventPictureAccepted = "profile_picture_accepted"
	eventPictureRejected = "profile_picture_rejected"
	eventPictureAdded    = "vault_profile_picture_added"
	eventPictureRemoved  = "vault_profile_picture_removed"
	eventPhoneDeleted    = "vault_phone_deleted"
	eventEmailDeleted    = "vault_email_deleted"
	eventPreferredName   = "vault_preferred_name_set"

	eventScanAccepted   = "scan_accepted"
	eventScanRejected   = "scan_rejected"
	eventScanAborted    = "scan_aborted"
	eventFrontImage     = "scan_front_image_added"
	eventSelfieImage    = "scan_selfie_image_added"
	eventAppealed       = "scan_appealed"
	eventAppealAccepted = "scan_appeal_accepted"
	eventAppealRejected = "scan_appeal_rejected"
	eventSelfieVerified = "request_selfie_verified"
)

// Numbers of a request.
const (
	Life        = 168 * time.Hour // the public API's
	useLife     = 30 * time.Minute
	slowLife    = 24 * time.Hour // of a use about which people decide
	tries       = 5
	opensAtOnce = 30 // by one client
	opensEvery  = 10 * time.Second
	keepUses    = time.Hour // after their end, for the page that says so
)

// Errors that pages and the API tell apart.
var (
	ErrGone     = errors.New("request: the link is not known, was used, or has ended")
	ErrStep     = errors.New("request: the request has moved on")
	ErrNotFound = errors.New("request: not this session's")
	ErrTooMany  = errors.New("request: too many at once")
	ErrWrong    = errors.New("request: the proof was not taken")
	ErrMethods  = errors.New("request: nothing can be proven here now")
	ErrMethod   = errors.New("request: not a way that is offered")
)

// Buckets limits how often a client may open links.
type Buckets interface {
	Take(ctx context.Context, key string, burst int, every time.Duration) (bool, error)
}

// Hooks tells the organisation's webhooks, in the caller's transaction.
type Hooks interface {
	RequestChanged(ctx context.Context, tx *store.Tx, env, event string, r Document) error
	SharingChanged(ctx context.Context, tx *store.Tx, env string, s Sharing) error
	PictureGiven(ctx context.Context, tx *store.Tx, env string, p GivenPicture) error
}

// Sharing is what a person shared or took back.
type Sharing struct {
	Subject, Request, Label string
	Claims                  []string
	Revoked                 bool
}

// A Config is what Requests are made of; Hooks may be nil.
type Config struct {
	Store     *store.Store
	Verifiers []verify.Verifier // whose proofs bear a name; others prove nothing here
	Buckets   Buckets
	Hooks     Hooks
	Mail      Mailer        // nil: links are not mailed
	SMS       Texter        // nil: links are not sent to phones
	Pictures  Pictures      // needed with Public
	Public    func() string // origin of the REST API, where pictures are; nil: nobody is asked for one
	Faces     Faces         // nil: nobody judges badge photos
	Shelf     store.Shelf   // nil: every picture lies in the store
	Places    Locator       // nil: nobody knows where an address is
	Log       *slog.Logger
	Now       func() time.Time // nil: time.Now
}

// Pictures are those of cases of documents that people look at.
type Pictures interface {
	// Picture returns one of a kind; store.ErrNotFound once it was erased.
	Picture(ctx context.Context, env, id, kind string) ([]byte, error)
}

// Requests runs the machine. Its methods may be called from many goroutines and nodes.
type Requests struct {
	Config
	wake     chan struct{}
	decoding chan struct{} // one photo at a time: each may need 100 MB while it is decoded
}

// New makes Requests. What ends by itself needs Run.
func New(c Config) *Requests {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Requests{c, make(chan struct{}, 1), make(chan struct{}, 1)}
}

// An Order is a request that is to be made.
type Order struct {
	Env       string
	Origin    string // of the recovery domain that the link leads to
	Label     string
	Template  string
	Scopes    []string
	Claims    []string
	MaxUses   int
	ShareLife time.Duration
	Exchange  string    // another identity provider waits for it, see OpenFor
	Keeps     bool      // what is shared is kept nevertheless
	Account   string    // see Opening
	Domains   []string  // of which a mail address must be; nil: any
	Selfie    bool      // only a proof with a new selfie counts
	ExpiresAt time.Time // zero: Life
	Mail      string    // address that the link is sent to; "": none
	Phone     string    // likewise
	WhatsApp  string    // likewise, and instead of Phone
	Message   string    // own words of the message to a phone, with placeOfLink; "": ours
	MadeBy    string    // API key; "": none
	Requester string    // staff whose key that is; "": a program's
}

// Create makes a request in the caller's transaction.
func (q *Requests) Create(ctx context.Context, tx *store.Tx, o Order) (store.Request, error) {
	r := store.Request{Env: o.Env, ID: store.NewID(), State: Pending, Progress: created, Label: o.Label, Template: o.Template, Scopes: o.Scopes,
		Claims: Asked(o.Scopes, o.Claims), Origin: o.Origin, Ticket: store.NewToken(), MaxUses: o.MaxUses, ShareLife: o.ShareLife, Exchange: o.Exchange, Keeps: o.Keeps, Account: o.Account, MailDomains: o.Domains, Selfie: o.Selfie, ExpiresAt: o.ExpiresAt,
		MadeBy: o.MadeBy, Requester: o.Requester}
	if r.ExpiresAt.IsZero() {
		r.ExpiresAt = q.Now().Add(Life)
	}
	if err := q.ready(ctx, tx, &r); err != nil {
		return r, err
	}
	if err := tx.AddRequest(ctx, &r); err != nil {
		return r, err
	}
	if err := q.deliver(ctx, tx, r, o); err != nil {
		return r, err
	}
	return r, q.tell(ctx, tx, r, eventCreated)
}

// Cancel withdraws a request that somebody may still answer; store.ErrConflict otherwise.
// What was shared already stays shared: such a request keeps its status, and its link
// ends now. A message that has not gone out with the link never does.
func (q *Requests) Cancel(ctx context.Context, tx *store.Tx, r store.Request) error {
	switch now := q.Now(); {
	case r.State == Cancelled:
		return nil
	case !opens(r, now):
		return store.ErrConflict
	case r.State == Pending, r.State == InProgress:
		r.State = Cancelled
	default:
		r.ExpiresAt = now
	}
	if err := errors.Join(tx.SaveRequest(ctx, &r), tx.DropRequestSend(ctx, r.Env, r.ID)); err != nil {
		return err
	}
	return q.tell(ctx, tx, r, eventCanceled)
}

// SetLabel changes the label.
func (q *Requests) SetLabel(ctx context.Context, tx *store.Tx, r store.Request, label string) error {
	r.Label = label
	if err := tx.SaveRequest(ctx, &r); err != nil {
		return err
	}
	return q.tell(ctx, tx, r, eventLabel)
}

// status is what the state means now.
func status(r store.Request, now time.Time) string {
	if (r.State == Pending || r.State == InProgress || r.State == Appealed) && !r.ExpiresAt.After(now) {
		return Expired
	}
	return r.State
}

// opens reports whether the link may be used by somebody.
func opens(r store.Request, now time.Time) bool {
	return r.ExpiresAt.After(now) && (r.MaxUses == 0 || r.Uses < r.MaxUses) &&
		slices.Contains([]string{Pending, InProgress, Shared, Revoked, PersonDeleted}, r.State)
}

// tell queues the event of a change.
func (q *Requests) tell(ctx context.Context, tx *store.Tx, r store.Request, event string) error {
	if q.Hooks == nil {
		return nil
	}
	d, err := q.Document(ctx, tx, r)
	if err != nil {
		return err
	}
	d.Phone = "" // a delivery outlives the message
	return q.Hooks.RequestChanged(ctx, tx, r.Env, event, d)
}

// sweepEvery is how often requests that ended are looked for.
const sweepEvery = time.Minute

// Run ends what has expired until ctx ends. Any node may do it.
func (q *Requests) Run(ctx context.Context) error {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		if err := q.Sweep(ctx); err != nil && ctx.Err() == nil {
			q.Log.WarnContext(ctx, "requests that ended were not closed", "error", err)
		}
		if err := q.send(ctx); err != nil && ctx.Err() == nil {
			q.Log.WarnContext(ctx, "links of requests were not sent", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-q.wake:
		}
	}
}

// Sweep ends requests that nobody answered in time, and forgets uses that have ended.
func (q *Requests) Sweep(ctx context.Context) error {
	due, err := store.Get(ctx, q.Store, func(tx *store.Tx) ([]store.Request, error) { return tx.DueRequests(ctx) })
	if err != nil {
		return err
	}
	for _, r := range due {
		err := q.Store.Tx(ctx, func(tx *store.Tx) error {
			r := r
			r.State = Expired
			if err := tx.SaveRequest(ctx, &r); err != nil {
				return err
			}
			if err := audit.Append(ctx, tx, audit.Event{Env: r.Env, Kind: audit.RequestExpired, Trace: r.ID, Detail: map[string]string{"request_id": r.ID}}); err != nil {
				return err
			}
			return q.tell(ctx, tx, r, eventExpired)
		})
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("request %s: %w", r.ID, err)
		}
	}
	if err := q.endShared(ctx); err != nil {
		return err
	}
	return q.Store.Tx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.PurgeRequestUses(ctx, q.Now().Add(-keepUses)), tx.PurgePictureLinks(ctx), tx.PurgeDrafts(ctx, q.Now().Add(-draftLife)))
	})
}

// endShared forgets what may not be read any more, and tells of it.
func (q *Requests) endShared(ctx context.Context) error {
	over, err := store.Get(ctx, q.Store, func(tx *store.Tx) ([]store.EndedShare, error) { return tx.EndedShares(ctx) })
	if err != nil {
		return err
	}
	for _, s := range over {
		err := q.Store.Tx(ctx, func(tx *store.Tx) error {
			if err := tx.EndShare(ctx, s.Env, s.Request, s.Person); err != nil {
				return err
			}
			r, err := tx.Request(ctx, s.Env, s.Request)
			if err != nil || r.Person != s.Person {
				return err
			}
			lost, err := timedOut(ctx, tx, s)
			for _, e := range append([]string{eventExpired}, forgotten(lost)...) {
				err = errors.Join(err, q.tell(ctx, tx, r, e))
			}
			return err
		})
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("request %s: what was shared could not be ended: %w", s.Request, err)
		}
	}
	return nil
}
