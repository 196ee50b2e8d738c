package store

import (
	"cmp"
	"context"
	"time"
)

// DefaultRequestMails is how many mails a day an environment sends to addresses that
// people who answer requests type in, unless it says otherwise: whoever has a link can name
// anybody's address. Codes of recoveries have limits of their own and are not among them.
const DefaultRequestMails = 500

// mailsWindow is what a day is for DefaultRequestMails. It slides.
const mailsWindow = 24 * time.Hour

// Subjects of these counters among the sends of codes.
const (
	requestMails     = "request-mails"      // each that goes
	requestMailsFull = "request-mails-full" // the first in a window that does not
)

// MailsPerDay is Microsite.RequestMails, or the default.
func (m Microsite) MailsPerDay() int { return cmp.Or(m.RequestMails, DefaultRequestMails) }

// CountRequestMail counts a mail before it goes to an address that somebody typed who
// answers a request. full says that today's were sent; first, that this was not known yet,
// in which case the caller writes it down.
func (tx *Tx) CountRequestMail(ctx context.Context, env string) (full, first bool, err error) {
	e, err := tx.Environment(ctx, env)
	if err != nil {
		return false, false, err
	}
	n, _, err := tx.CodeSends(ctx, env, requestMails, tx.Now().Add(-mailsWindow))
	if err != nil {
		return false, false, err
	}
	if n < e.Microsite.MailsPerDay() {
		return false, false, tx.AddCodeSend(ctx, env, requestMails)
	}
	since, err := tx.RequestMailsFull(ctx, env)
	if err != nil || !since.IsZero() {
		return true, false, err
	}
	return true, true, tx.AddCodeSend(ctx, env, requestMailsFull)
}

// RequestMailsFull returns when, within a day, the first mail was not sent because there
// had been too many; zero: all were sent.
func (tx *Tx) RequestMailsFull(ctx context.Context, env string) (time.Time, error) {
	_, first, err := tx.CodeSends(ctx, env, requestMailsFull, tx.Now().Add(-mailsWindow))
	return first, err
}
