package api

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/store"
)

// mailOut is whether mails of an environment go out.
type mailOut struct {
	Configured bool          `json:"configured"` // the hub has a mail server
	Waiting    int           `json:"waiting"`    // mails that it has not taken yet
	Stuck      []mailTrouble `json:"stuck"`      // nodes whose mails are not taken; empty: none that is known
}

// mailTrouble is one node that cannot send mails.
type mailTrouble struct {
	Node   string    `json:"node"`
	Since  time.Time `json:"since"`
	Tried  time.Time `json:"last_try_at"`
	Step   string    `json:"step"`   // connect, encrypt, sign_in, sender, recipient or words
	Reason string    `json:"reason"` // the number of the mail server's answer, or why there was none
	Next   string    `json:"next"`   // what to do
}

// getMail answers with whether mails of the environment go out, and since when not.
func getMail(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	out := mailOut{Configured: c.api.Mail.Usable(), Stuck: []mailTrouble{}}
	stuck, err := tx.MailTroubles(ctx, c.env.ID)
	if err != nil {
		return nil, err
	}
	for _, t := range stuck {
		out.Stuck = append(out.Stuck, mailTrouble{t.Node, t.Since, t.Last, t.Step, t.Reason, notify.Step(t.Step).Next()})
	}
	out.Waiting, err = tx.WaitingMails(ctx, c.env.ID)
	return out, err
}

// mailTest says where a mail is to go.
type mailTest struct {
	To string `json:"to"`
}

// testedMail is what became of it.
type testedMail struct {
	Server string `json:"server"` // host:port
	Taken  bool   `json:"taken"`
	Answer string `json:"answer"`         // what the mail server said, or why it said nothing
	Step   string `json:"step,omitempty"` // at which it ended, as in stuck
	Next   string `json:"next,omitempty"` // what to do
}

// writeMail sends one mail now, by the hub's mail server, and answers with what that said.
func writeMail(_ context.Context, c *call, _ *store.Tx, m *mailTest) (any, error) {
	c.recorded = true // with what became of it
	return m.To, nil
}

// sendMail does it. The log has the step, and not the address; it has it of those, too, who
// do not wait for the answer.
func sendMail(ctx context.Context, c *call, to any) (any, error) {
	ctx = context.WithoutCancel(ctx) // a test ends by itself
	got, err := c.api.Mail.Test(ctx, c.env.ID, to.(string))
	switch {
	case errors.Is(err, notify.ErrNoRoute):
		return nil, bad("the hub has no mail server: set smtp in the Caddyfile")
	case errors.Is(err, notify.ErrNoAddress):
		return nil, bad("to: not a mail address")
	case err != nil:
		return nil, err
	}
	out := testedMail{Server: got.Server, Taken: got.Taken, Answer: got.Answer, Step: string(got.Step)}
	if !got.Taken {
		out.Next = got.Step.Next()
	}
	c.detail = map[string]any{"taken": out.Taken, "step": out.Step}
	return out, c.api.Store.Tx(ctx, func(tx *store.Tx) error { return c.append(ctx, tx, nil) })
}
