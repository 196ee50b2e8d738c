package notify

import (
	"context"
	"errors"
	"io"
	"net"
	"net/textproto"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/store"
)

// A Step is one of those by which a mail reaches a mail server. Where it ended there, it
// says what is to be mended.
type Step string

// Steps of a mail, in their order.
const (
	Connect   Step = "connect"
	Encrypt   Step = "encrypt"
	SignIn    Step = "sign_in"
	Sender    Step = "sender"
	Recipient Step = "recipient"
	Words     Step = "words"
)

// Next says in English what to do about mails that end at this step.
func (s Step) Next() string {
	return locale.Choose(nil, "en").Text("console.mail.next." + string(s))
}

// alone reports whether it may be a mail's own fault that it ended here.
func (s Step) alone() bool { return s == Recipient || s == Words }

// A failure is an error of a mail server with the step that it belongs to.
type failure struct {
	step Step
	err  error
}

// Error implements error.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap gives the server's error.
func (f *failure) Unwrap() error { return f.err }

// failed marks an error with its step; nil stays nil.
func failed(s Step, err error) error {
	if err == nil {
		return nil
	}
	return &failure{s, err}
}

// stepOf returns where a mail ended; "" where it never left.
func stepOf(err error) Step {
	if f := (*failure)(nil); errors.As(err, &f) {
		return f.step
	}
	return ""
}

// enhanced is the number with which most servers say more exactly what they mean (RFC 3463).
var enhanced = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

// maxReason bounds what is kept of an error, in bytes.
const maxReason = 200

// reason is an error for logs and pages. Of a mail server's answer only the numbers are
// kept: its words may repeat an address.
func reason(err error) string {
	var answer *textproto.Error
	var noAnswer textproto.ProtocolError // its text is the server's line
	switch {
	case err == nil:
		return ""
	case errors.As(err, &noAnswer):
		return "the mail server's answer is none of SMTP"
	case errors.As(err, &answer):
		return strings.TrimSpace("answer " + strconv.Itoa(answer.Code) + " " + enhanced.FindString(answer.Msg))
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the mail server closed the connection"
	}
	text := oneLine(err.Error())
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// A try is what became of one mail: nil where the mail server took it.
type try struct {
	env string
	err error
}

// tries joins what became of the mails of one environment.
func tries(env string, errs []error) []try {
	all := make([]try, len(errs))
	for i, err := range errs {
		all[i] = try{env, err}
	}
	return all
}

// note keeps whether mails go out, and writes into the log of an environment when they
// begin not to and when they go again: once, however many mails and nodes there are. A mail
// that somebody did not wait for says nothing.
func (n *Notifier) note(ctx context.Context, tries ...try) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWrite)
	defer cancel()
	if !n.telling(ctx, tries) {
		return
	}
	err := n.store.Tx(ctx, func(tx *store.Tx) error {
		for _, t := range tries {
			if err := n.noteOne(ctx, tx, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		n.log.WarnContext(ctx, "whether mails go out is not recorded", "err", err)
	}
}

// telling reports whether tries change anything: one failed, or one did before.
func (n *Notifier) telling(ctx context.Context, tries []try) bool {
	for _, t := range tries {
		if t.err != nil {
			return true
		}
	}
	stuck, err := store.Get(ctx, n.store, func(tx *store.Tx) (bool, error) { return tx.AnyMailStuck(ctx) })
	return len(tries) > 0 && (stuck || err != nil)
}

func (n *Notifier) noteOne(ctx context.Context, tx *store.Tx, t try) error {
	step := stepOf(t.err)
	switch {
	case t.err == nil:
		return n.flows(ctx, tx)
	case step == "":
		return nil
	}
	trouble := store.MailTrouble{Node: n.node, Step: string(step), Reason: reason(t.err)}
	began, err := tx.MailStuck(ctx, t.env, trouble, step.alone())
	if err != nil || !began {
		return err
	}
	return audit.Append(ctx, tx, audit.Event{Env: t.env, Kind: audit.MailStuck, Actor: mailing,
		Detail: map[string]string{"node": n.node, "step": trouble.Step, "reason": trouble.Reason}})
}

// flows ends what troubles of this node there are.
func (n *Notifier) flows(ctx context.Context, tx *store.Tx) error {
	over, err := tx.MailFlows(ctx, n.node)
	for _, env := range over {
		if err == nil {
			err = audit.Append(ctx, tx, audit.Event{Env: env, Kind: audit.MailFlows, Actor: mailing, Detail: map[string]string{"node": n.node}})
		}
	}
	return err
}

// mailing is who writes that into the log.
var mailing = audit.Principal{System: "mail"}
