package request

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
)

// ErrChannel says that links cannot be sent in a way that was asked for; its text says why.
var ErrChannel = errors.New("method not configured")

// ErrAddress says that a link cannot be sent to an address.
var ErrAddress = errors.New("not an address that links are sent to")

// A Mailer queues mails with links, in the caller's transaction, and sends codes. Errors:
// ErrChannel, ErrAddress.
type Mailer interface {
	QueueLink(ctx context.Context, tx *store.Tx, r store.Request, to string) error
	// Ready returns ErrChannel where no mail is sent.
	Ready() error
	// SendCode sends a code now.
	SendCode(ctx context.Context, m CodeMessage) error
	// QueueDecision tells somebody what people decided about their photo, with the link of
	// the request. Where that cannot be, nothing happens.
	QueueDecision(ctx context.Context, tx *store.Tx, d Decision) error
}

// A Decision is what people decided about a photo for a badge.
type Decision struct {
	Request  store.Request
	To       string // who left this address
	Language string
	Taken    bool
	Until    time.Time // their page works
}

// A Texter sends text messages with links.
type Texter interface {
	// Takes returns the number as it is written everywhere, or ErrChannel or ErrAddress.
	// It reads tx alone.
	Takes(ctx context.Context, tx *store.Tx, env, number string, whatsApp bool) (string, error)
	// SendLink sends one message. ErrAddress says that trying again is of no use.
	SendLink(ctx context.Context, m LinkMessage) error
	// Ready returns ErrChannel where an environment sends no text messages. It reads tx alone.
	Ready(ctx context.Context, tx *store.Tx, env string) error
	// SendCode sends a code now, under limits of its own: ErrTooMany.
	SendCode(ctx context.Context, m CodeMessage) error
}

// A LinkMessage is a link on its way to a phone.
type LinkMessage struct {
	Env    string `json:"-"`
	To     string `json:"to"`
	Link   string `json:"link"`
	Text   string `json:"text"` // the organisation's own, with a place for the link; "": ours
	Origin string `json:"origin"`

	WhatsApp bool `json:"whatsapp,omitempty"` // over it, and not as a text message
}

// placeOfLink is where a template's own message has the link.
const placeOfLink = "{{.Link}}"

// Body is the organisation's own text with the link, "" if there is none.
func (m LinkMessage) Body() string { return strings.ReplaceAll(m.Text, placeOfLink, m.Link) }

// deliver queues the messages of a new request.
func (q *Requests) deliver(ctx context.Context, tx *store.Tx, r store.Request, o Order) error {
	if o.Mail != "" {
		if q.Mail == nil {
			return fmt.Errorf("email: %w", ErrChannel)
		}
		if err := errors.Join(q.countLink(ctx, tx, o), q.Mail.QueueLink(ctx, tx, r, o.Mail)); err != nil {
			return fmt.Errorf("email: %w", err)
		}
	}
	name, number := "phone", o.Phone
	if o.WhatsApp != "" {
		name, number = "whatsapp", o.WhatsApp
	}
	if number == "" {
		return nil
	}
	if q.SMS == nil {
		return fmt.Errorf("%s: %w", name, ErrChannel)
	}
	to, err := q.SMS.Takes(ctx, tx, r.Env, number, o.WhatsApp != "")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b, err := json.Marshal(LinkMessage{To: to, Link: Link(r), Text: o.Message, Origin: r.Origin, WhatsApp: o.WhatsApp != ""})
	if err != nil {
		return err
	}
	return tx.AddRequestSend(ctx, store.RequestSend{Env: r.Env, Request: r.ID, Message: b})
}

// linksPerDay is how many links one mailbox is sent from one environment; text messages are
// counted by who sends them.
const linksPerDay = 30

// countLink counts a link before it goes to a mailbox; ErrTooMany. Other names of one mailbox
// are that mailbox.
func (q *Requests) countLink(ctx context.Context, tx *store.Tx, o Order) error {
	subject := "request-link:" + verify.Keyed(q.keys()[0], "mail", mailbox(o.Mail))
	n, _, err := tx.CodeSends(ctx, o.Env, subject, tx.Now().Add(-24*time.Hour))
	if err == nil && n >= linksPerDay {
		err = ErrTooMany
	}
	if err != nil {
		return err
	}
	return tx.AddCodeSend(ctx, o.Env, subject)
}

// Wake lets Run send at once what was queued.
func (q *Requests) Wake() {
	select {
	case q.wake <- struct{}{}:
	default: // it is awake
	}
}

// Tries of a message.
const (
	sendTries = 3
	sendAgain = time.Minute
	sendTime  = 20 * time.Second
)

// send sends what is due. A message is counted before it goes: rather lost than twice.
func (q *Requests) send(ctx context.Context) error {
	due, err := store.Change(ctx, q.Store, func(tx *store.Tx) ([]store.RequestSend, error) {
		return tx.ClaimRequestSends(ctx, tx.Now().Add(sendAgain))
	})
	if err != nil {
		return err
	}
	for _, s := range due {
		if err := q.sendDue(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (q *Requests) sendDue(ctx context.Context, s store.RequestSend) error {
	if s.Err != nil {
		return q.setAside(ctx, s)
	}
	return q.sendOne(ctx, s)
}

// setAside gives up a message that does not open, and says so in the log of its environment.
// One whose key may come waits: during a rotation this node has it a moment later.
func (q *Requests) setAside(ctx context.Context, s store.RequestSend) error {
	over := !errors.Is(s.Err, store.ErrMasterKey) || s.Tries >= sendTries
	q.Log.ErrorContext(ctx, "the link of a request does not open", "request", s.Request, "env", s.Env, "tries", s.Tries, "given_up", over, "reason", s.Err)
	if !over {
		return nil
	}
	return q.Store.Tx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.DropRequestSend(ctx, s.Env, s.Request), audit.Append(ctx, tx, audit.Event{Env: s.Env, Kind: audit.MessageUnread, Trace: s.Request,
			Actor: audit.Principal{System: "sms"}, Detail: map[string]string{"request_id": s.Request, "reason": s.Err.Error()}}))
	})
}

func (q *Requests) sendOne(ctx context.Context, s store.RequestSend) error {
	m := LinkMessage{Env: s.Env}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	err := json.Unmarshal(s.Message, &m)
	if err == nil {
		err = q.SMS.SendLink(ctx, m)
	}
	if err != nil {
		q.Log.WarnContext(ctx, "the link of a request could not be sent", "request", s.Request, "tries", s.Tries, "error", err)
	}
	if err != nil && s.Tries < sendTries && !errors.Is(err, ErrAddress) {
		return nil
	}
	return q.Store.Tx(ctx, func(tx *store.Tx) error { return tx.DropRequestSend(ctx, s.Env, s.Request) })
}
