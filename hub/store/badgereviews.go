package store

import "context"

// AboutBadge is what a case is about whose picture is a photo for a badge. The picture is
// the person's PictureAsked, under the person's key.
const AboutBadge = "badge"

// Outcomes of such a case; any other is why the photo was refused.
const (
	BadgeAccepted  = "accepted"
	BadgeReplaced  = "replaced"  // the person sent another one before it was decided
	BadgeWithdrawn = "withdrawn" // the person takes part no more, or is erased
)

// BadgeReview returns the case of a person's photo for a badge that waits, or the last one.
func (tx *Tx) BadgeReview(ctx context.Context, env, person string) (Review, error) {
	return One(ctx, tx, tx.scanReview, "SELECT "+reviewColumns+" FROM reviews WHERE env = $1 AND person = $2 AND about = 'badge' ORDER BY CASE state WHEN 'waiting' THEN 0 ELSE 1 END, created_at DESC, id LIMIT 1", env, person)
}

// withdrawBadge ends what people are asked about a person's photo and destroys what the
// cases say of them.
func (tx *Tx) withdrawBadge(ctx context.Context, env, person string) error {
	_, err := tx.Exec(ctx, `UPDATE reviews SET version = version + 1, outcome = CASE WHEN state = 'closed' THEN outcome ELSE $3 END,
		decided_at = CASE WHEN decided_at = 0 THEN $4 ELSE decided_at END, settled_at = $4, state = 'closed', secret = '', details = ''
		WHERE env = $1 AND person = $2 AND about = 'badge' AND secret <> ''`, env, person, BadgeWithdrawn, Millis(tx.Now()))
	return err
}
