package notify

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/store"
)

// A Tested is what became of a mail that was sent as a test.
type Tested struct {
	Server string // host:port
	Taken  bool
	Step   Step   // at which it ended, if it was not taken
	Answer string // what the server said, or why it said nothing; at most some hundred bytes on one line
}

// maxAnswer bounds what is told of a mail server's answer, in bytes.
const maxAnswer = 500

// Test sends one mail now, by the configured server, and tells what that answered. Errors:
// ErrNoRoute, ErrNoAddress, those of the store. What the server does not take is none.
func (n *Notifier) Test(ctx context.Context, env, to string) (Tested, error) {
	r := n.route.Load()
	if r == nil {
		return Tested{}, ErrNoRoute
	}
	if !deliverable(to) {
		return Tested{}, ErrNoAddress
	}
	e, err := store.Get(ctx, n.store, func(tx *store.Tx) (store.Environment, error) { return tx.Environment(ctx, env) })
	if err != nil {
		return Tested{}, err
	}
	l := locale.Choose(e.Microsite.Languages, "")
	company := oneLine(e.PublicName)
	p := parcel{newLetter(l, to, l.Text("mail.test.subject", "company", company), l.Text("mail.test.body", "company", company)), store.NewID()}
	sending, cancel := context.WithTimeout(ctx, codeTimeout)
	defer cancel()
	answer, err := r.one(sending, p, n.now())
	n.note(ctx, try{env, err})
	if err != nil && stepOf(err) == "" {
		return Tested{}, err
	}
	out := Tested{Server: r.Host, Taken: err == nil, Step: stepOf(err), Answer: answer}
	if err != nil {
		out.Answer = told(err)
	}
	out.Answer = strings.ToValidUTF8(out.Answer[:min(len(out.Answer), maxAnswer)], "")
	return out, nil
}

// one sends a single parcel and returns what the server said.
func (r *route) one(ctx context.Context, p parcel, at time.Time) (answer string, err error) {
	c, err := r.connect(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if answer, err = r.give(c, p, at); err == nil {
		_ = c.Quit()
	}
	return oneLine(answer), err
}

// told is an error for whoever tests: of an answer the words, too.
func told(err error) string {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return fmt.Sprintf("%d %s", answer.Code, oneLine(answer.Msg))
	}
	return reason(err)
}
