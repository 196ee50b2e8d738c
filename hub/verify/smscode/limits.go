package smscode

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
)

// How many messages may be sent. Whoever is paid by the message asks for many, to
// numbers of a range that they own (SMS pumping); a person needs one or two.
const (
	perAccount = 10 // a day
	perNumber  = 6  // a day
	perBlock   = 20 // an hour, to a thousand neighbouring numbers
	perClient  = 30 // an hour: an office shares one address
)

// Windows of the limits. The longest is what the store keeps sends for.
const (
	hour = time.Hour
	day  = 24 * time.Hour
)

// A limit is how often something may happen within a window.
type limit struct {
	what    string // for the log
	subject string
	most    int
	window  time.Duration
}

// limits are those of one message. Numbers and addresses stand in the store as keyed
// hashes.
func (r *Route) limits(m Message, to Number, s Settings) []limit {
	key := r.keys()[0]
	all := []limit{
		{"of the environment", "sms-env", s.perDay(), day},
		{"to this country", "sms-country:" + to.Country, s.perCountry(), day},
		{"for this account", "sms-account:" + m.Account, perAccount, day},
		{"to this number", "sms-to:" + verify.Keyed(key, "number", to.E164), perNumber, day},
		{"to numbers like this", "sms-block:" + verify.Keyed(key, "block", to.block()), perBlock, hour},
	}
	if m.Client != "" {
		all = append(all, limit{"from this address", "sms-client:" + verify.Keyed(key, "client", policy.Client(m.Client)), perClient, hour})
	}
	return all
}

// count counts a message before it is sent, under every limit or under none.
func (r *Route) count(ctx context.Context, m Message, to Number, s Settings) error {
	limits := r.limits(m, to, s)
	return r.store.Tx(ctx, func(tx *store.Tx) error {
		for _, l := range limits {
			n, _, err := tx.CodeSends(ctx, m.Env, l.subject, tx.Now().Add(-l.window))
			if err != nil {
				return err
			}
			if n >= l.most {
				return fmt.Errorf("%w: %s", ErrLimit, l.what)
			}
		}
		for _, l := range limits {
			if err := tx.AddCodeSend(ctx, m.Env, l.subject); err != nil {
				return err
			}
		}
		return nil
	})
}
