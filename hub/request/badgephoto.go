package request

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/store"
)

// BadgePhotos are the photos that their person may see: the one that they look at before
// they send it, the one that people look at, and the one that is kept.
var BadgePhotos = []string{store.PictureDraft, store.PictureAsked, store.PictureChosen}

// ErrNoPhoto says that there is no photo of a kind.
var ErrNoPhoto = errors.New("request: no such photo")

// BadgePhoto returns one of BadgePhotos, a JPEG, to its person.
func (q *Requests) BadgePhoto(ctx context.Context, env, id, session, kind string) ([]byte, error) {
	if !slices.Contains(BadgePhotos, kind) {
		return nil, ErrNoPhoto
	}
	return store.Fetch(ctx, q.Store, q.Shelf, func(tx *store.Tx) ([]byte, error) {
		g, err := q.badgeOf(ctx, tx, env, id, session)
		if err != nil {
			return nil, err
		}
		body, _, err := tx.Picture(ctx, env, g.use.Person, kind)
		if errors.Is(err, store.ErrNotFound) {
			err = ErrNoPhoto
		}
		return body, err
	})
}

// DraftBadge keeps a photo for its person to look at before they send it. One with faults
// that can be measured is not kept. Nobody is told of either.
func (q *Requests) DraftBadge(ctx context.Context, env, id, session string, chosen []byte) (faults []Fault, err error) {
	g, err := store.Get(ctx, q.Store, func(tx *store.Tx) (giver, error) { return q.badgeOf(ctx, tx, env, id, session) })
	if err != nil {
		return nil, err
	}
	if ok, err := q.Buckets.Take(ctx, "badge draft:"+env+":"+g.use.Person, draftTries, draftEvery); err != nil || !ok {
		return nil, errors.Join(err, ErrTooMany)
	}
	clean, faults, err := q.measure(ctx, chosen)
	if err != nil || len(faults) > 0 {
		return faults, err
	}
	return nil, q.Store.Tx(ctx, func(tx *store.Tx) error {
		if _, err := q.badgeOf(ctx, tx, env, id, session); err != nil {
			return err
		}
		return tx.PutPicture(ctx, env, g.use.Person, store.PictureDraft, clean)
	})
}

// SendDraft is SetBadge with the photo that its person looked at. ErrStep if there is none,
// or none any more.
func (q *Requests) SendDraft(ctx context.Context, env, id, session string, by Client) (faults []Fault, reason string, err error) {
	body, err := q.BadgePhoto(ctx, env, id, session, store.PictureDraft)
	if errors.Is(err, ErrNoPhoto) {
		err = ErrStep
	}
	if err != nil {
		return nil, "", err
	}
	return q.SetBadge(ctx, env, id, session, body, by)
}

// DropDraft forgets the photo that its person looked at.
func (q *Requests) DropDraft(ctx context.Context, env, id, session string) error {
	return q.Store.Tx(ctx, func(tx *store.Tx) error {
		g, err := q.badgeOf(ctx, tx, env, id, session)
		if err != nil {
			return err
		}
		return tx.RemovePicture(ctx, env, g.use.Person, store.PictureDraft)
	})
}

// ResumeBadge returns one of a browser's uses whose person may give a photo, "" if there is
// none.
func (q *Requests) ResumeBadge(ctx context.Context, env string, sessions map[string]string) (id string, err error) {
	err = q.Store.Read(ctx, func(tx *store.Tx) error {
		for use, session := range sessions {
			switch _, err := q.badgeOf(ctx, tx, env, use, session); {
			case err == nil:
				id = use
				return nil
			case !errors.Is(err, ErrStep) && !errors.Is(err, ErrNotFound):
				return err
			}
		}
		return nil
	})
	return id, err
}

// asked says what people were asked about a person's photo.
func asked(ctx context.Context, tx *store.Tx, env, person string, b *Badge) error {
	c, err := tx.BadgeReview(ctx, env, person)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case c.State == store.ReviewWaiting:
		b.Asked, b.Until = c.SubmittedAt, c.EndsAt
	case c.Outcome != store.BadgeAccepted && c.Outcome != store.BadgeReplaced && c.Outcome != store.BadgeWithdrawn && c.DecidedAt.After(b.Since):
		b.Refused, b.RefusedAt = Fault(c.Outcome), c.DecidedAt
	}
	return nil
}

// askPeople hands a photo to people. Its person may come back for as long as they have time.
func (q *Requests) askPeople(ctx context.Context, tx *store.Tx, g giver, clean, found []byte) error {
	env, person := g.request.Env, g.use.Person
	if err := tx.PutPicture(ctx, env, person, store.PictureAsked, clean); err != nil {
		return err
	}
	name, err := q.nameOf(ctx, tx, env, person)
	if err != nil {
		return err
	}
	mail, err := q.textOf(ctx, tx, env, person, Email)
	if err != nil {
		return err
	}
	a := AskedPhoto{Env: env, Use: g.use.ID, Person: person, Subject: Subject(env, person), Name: name, Found: found, Ends: g.share.ExpiresAt}
	for _, address := range []string{g.request.Label, mail} { // a link may have been made for an address
		if strings.Contains(address, "@") {
			a.Addresses = append(a.Addresses, address)
		}
	}
	until, err := q.Faces.AskPeople(ctx, tx, a)
	if err != nil || !until.After(g.use.ExpiresAt) {
		return err
	}
	g.use.ExpiresAt = until
	return tx.SaveRequestUse(ctx, &g.use)
}

// BadgeDecided takes what people decided about a photo, in their transaction: refused is a
// Fault, "" if they took it. kept is false if its person shares no more: then the photo is
// gone, and nobody is told.
func (q *Requests) BadgeDecided(ctx context.Context, tx *store.Tx, env, use, person, refused string) (kept bool, err error) {
	g, err := q.giverOf(ctx, tx, env, use)
	if err == nil && g.use.Person != person {
		err = ErrStep
	}
	var clean []byte
	if err == nil {
		clean, _, err = tx.Picture(ctx, env, person, store.PictureAsked)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, ErrStep) {
		return false, err
	}
	if gone := tx.RemovePicture(ctx, env, person, store.PictureAsked); gone != nil || err != nil {
		return false, gone
	}
	var faults []Fault
	if refused != "" {
		faults = []Fault{Fault(refused)}
	}
	if err := q.badgeGiven(ctx, tx, g, clean, faults, "", Client{}); err != nil {
		return true, err
	}
	return true, q.tellDecided(ctx, tx, g, refused == "")
}

// tellDecided mails whoever gave a photo what became of it, if they left an address: the one
// that they share, or the one for which their link was made.
func (q *Requests) tellDecided(ctx context.Context, tx *store.Tx, g giver, taken bool) error {
	to, err := q.textOf(ctx, tx, g.request.Env, g.use.Person, Email)
	if err != nil || q.Mail == nil || q.Mail.Ready() != nil {
		return err
	}
	if to == "" {
		to, err = plainMail(g.request.Label)
	}
	if err != nil { // a label that is no address
		return nil
	}
	return q.Mail.QueueDecision(ctx, tx, Decision{Request: g.request, To: to, Language: g.use.Language, Taken: taken, Until: g.use.ExpiresAt})
}

// giverOf returns whoever gave a photo by a use.
func (q *Requests) giverOf(ctx context.Context, tx *store.Tx, env, use string) (giver, error) {
	u, err := tx.RequestUse(ctx, env, use)
	if err != nil {
		return giver{}, err
	}
	r, err := tx.Request(ctx, env, u.Request)
	if err != nil {
		return giver{}, err
	}
	return q.giver(ctx, tx, u, r)
}
