package request

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
)

// A Fault is why a badge photo was not taken. Those of the public API come first, in its
// spelling; then those of capture.Flaw.
type Fault string

// Faults beside those that can be measured.
const (
	NoPicture    Fault = "invalid_format"
	LargePicture Fault = "too_large"
	NoFace       Fault = "no_face"
	ManyFaces    Fault = "too_many_faces"
	OtherFace    Fault = "not_matched"
	Unsuitable   Fault = "unsuitable" // a rule of the organisation, in its program's words
	Unsure       Fault = "unsure"     // the organisation's program could not tell
)

// Faces judges badge photos: the organisation's own program, its people, or both.
type Faces interface {
	// JudgeBadge says what is to become of a photo. selfie is the picture of the person that
	// was verified with a document, nil if none is kept.
	JudgeBadge(ctx context.Context, env string, photo, selfie []byte) (Judgement, error)
	// AskPeople has people look at the person's store.PictureAsked, in the caller's
	// transaction and in place of an earlier one, and returns until when they have time.
	AskPeople(ctx context.Context, tx *store.Tx, a AskedPhoto) (until time.Time, err error)
}

// A Judgement is what Faces says of a photo that has no measured fault.
type Judgement struct {
	Faults []Fault
	Reason string // the program's words on Unsuitable
	People bool   // people decide, if there is no fault
	Found  []byte // what the program said, for them; nil: it was not asked
}

// An AskedPhoto is a photo that people look at.
type AskedPhoto struct {
	Env, Use, Person, Subject string
	Name                      string    // that was proven
	Addresses                 []string  // that are known as the person's
	Found                     []byte    // of the Judgement
	Ends                      time.Time // of the consent; zero: never
}

// GivenPicture is what webhooks hear of a badge photo.
type GivenPicture struct {
	Person, Subject, Request, Name, Link, SHA256, Error string
}

// Numbers of badge photos.
const (
	pictureLife  = 15 * time.Minute // of the link in the webhook, as the public API has it
	badgeTries   = 10               // photos at once, of one person
	badgeEvery   = time.Minute
	badgeLife    = time.Hour // of a request that somebody began at the badge page
	draftTries   = 20        // photos that one person looks at before they send one
	draftEvery   = 30 * time.Second
	draftLife    = time.Hour // of a photo that was looked at and not sent
	pictureClaim = "picture"
)

// ErrFaces says that the organisation's program gave no answer; nothing was kept.
var ErrFaces = errors.New("request: nobody looked at the photo")

// A Badge is what the badge page shows.
type Badge struct {
	Language  string
	Since     time.Time // when the photo was given that is kept; zero: none
	Draft     bool      // a photo was chosen and is not sent
	Asked     time.Time // since when people are asked about one; zero: they are not
	Until     time.Time // they have time
	Refused   Fault     // why people did not take the last one; "": they took it, or were not asked
	RefusedAt time.Time
}

// A BadgeOrder is what BeginBadge begins with.
type BadgeOrder struct {
	Env, Origin, Label, Language string
	Link                         string // id of the link that admitted and is used up by it; "": it may be used again
	LinkEnds                     time.Time
	By                           Client
}

// BeginBadge makes a request for a name and a picture, and opens it in this browser.
// ErrGone if the link was used before.
func (q *Requests) BeginBadge(ctx context.Context, o BadgeOrder) (id, session string, err error) {
	if ok, err := q.Buckets.Take(ctx, "badge:"+o.Env+":"+policy.Client(o.By.Address), opensAtOnce, opensEvery); err != nil || !ok {
		return "", "", errors.Join(err, ErrTooMany)
	}
	r, err := store.Change(ctx, q.Store, func(tx *store.Tx) (store.Request, error) {
		r, err := q.Create(ctx, tx, Order{Env: o.Env, Origin: o.Origin, Label: o.Label, Claims: []string{"name", pictureClaim}, MaxUses: 1, ExpiresAt: q.Now().Add(badgeLife)})
		if err != nil || o.Link == "" {
			return r, err
		}
		if err := tx.UseLink(ctx, o.Env, o.Link, r.ID, o.LinkEnds); errors.Is(err, store.ErrConflict) {
			return r, ErrGone
		} else if err != nil {
			return r, err
		}
		return r, nil
	})
	if err != nil {
		return "", "", err
	}
	return q.Open(ctx, o.Env, r.Ticket, o.Language, o.By)
}

// asksPicture reports whether whoever shared is asked for a badge photo.
func asksPicture(r store.Request) bool { return slices.Contains(r.Claims, pictureClaim) }

// A giver is somebody who may give a photo.
type giver struct {
	use     store.RequestUse
	request store.Request
	share   store.Share
}

// badgeOf returns a use that may give a photo: its person shared, and shares still.
func (q *Requests) badgeOf(ctx context.Context, tx *store.Tx, env, id, session string) (giver, error) {
	u, r, err := own(ctx, tx, env, id, session)
	if err != nil {
		return giver{}, err
	}
	return q.giver(ctx, tx, u, r)
}

// giver returns ErrStep for whoever does not share by r.
func (q *Requests) giver(ctx context.Context, tx *store.Tx, u store.RequestUse, r store.Request) (giver, error) {
	if u.State != useShared || u.Person == "" || !asksPicture(r) {
		return giver{}, ErrStep
	}
	shares, err := tx.Shares(ctx, r.Env, u.Person)
	if err != nil {
		return giver{}, err
	}
	i := slices.IndexFunc(shares, func(s store.Share) bool { return s.Request == r.ID })
	if i < 0 || !shares[i].RevokedAt.IsZero() || ended(shares[i].ExpiresAt, q.Now()) {
		return giver{}, ErrStep
	}
	return giver{u, r, shares[i]}, nil
}

// Badge returns what the badge page of a use shows. ErrStep if nothing was shared, it was
// taken back, or no picture was asked for.
func (q *Requests) Badge(ctx context.Context, env, id, session string) (Badge, error) {
	return store.Get(ctx, q.Store, func(tx *store.Tx) (b Badge, err error) {
		g, err := q.badgeOf(ctx, tx, env, id, session)
		if err != nil {
			return b, err
		}
		b.Language = g.use.Language
		var drafted time.Time
		for kind, at := range map[string]*time.Time{store.PictureChosen: &b.Since, store.PictureDraft: &drafted} {
			if *at, err = tx.PictureSince(ctx, env, g.use.Person, kind); err != nil {
				return b, err
			}
		}
		b.Draft = !drafted.IsZero()
		return b, asked(ctx, tx, env, g.use.Person, &b)
	})
}

// SetBadge keeps a photo for a badge, written anew, in place of an earlier one, unless it
// has faults; or it has people look at it, see Badge.Asked. Webhooks hear of what was kept
// or refused. reason is what the organisation's program said. ErrFaces: try again later.
func (q *Requests) SetBadge(ctx context.Context, env, id, session string, sent []byte, by Client) (faults []Fault, reason string, err error) {
	g, err := store.Get(ctx, q.Store, func(tx *store.Tx) (giver, error) { return q.badgeOf(ctx, tx, env, id, session) })
	if err != nil {
		return nil, "", err
	}
	if ok, err := q.Buckets.Take(ctx, "badge photo:"+env+":"+g.use.Person, badgeTries, badgeEvery); err != nil || !ok {
		return nil, "", errors.Join(err, ErrTooMany)
	}
	clean, faults, err := q.measure(ctx, sent)
	j := Judgement{Faults: faults}
	if err == nil && len(faults) == 0 && q.Faces != nil {
		if j, err = q.judge(ctx, env, g.use.Person, clean); err != nil {
			q.Log.WarnContext(ctx, "nobody looked at a badge photo", "request_use", id, "error", err)
			err = ErrFaces
		}
	}
	if err != nil || clean == nil { // what is no picture is told to nobody else
		return j.Faults, "", err
	}
	return j.Faults, j.Reason, q.Store.Tx(ctx, func(tx *store.Tx) error {
		g, err := q.badgeOf(ctx, tx, env, id, session)
		if err != nil {
			return err
		}
		if err := tx.RemovePicture(ctx, env, g.use.Person, store.PictureDraft); err != nil {
			return err
		}
		if len(j.Faults) == 0 && j.People {
			return q.askPeople(ctx, tx, g, clean, j.Found)
		}
		return q.badgeGiven(ctx, tx, g, clean, j.Faults, j.Reason, by)
	})
}

// judge has a photo looked at beside the selfie of its person, if one is kept.
func (q *Requests) judge(ctx context.Context, env, person string, clean []byte) (Judgement, error) {
	selfie, err := store.Fetch(ctx, q.Store, q.Shelf, func(tx *store.Tx) ([]byte, error) {
		body, _, err := tx.Picture(ctx, env, person, store.PictureSelfie)
		return body, err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Judgement{}, err
	}
	return q.Faces.JudgeBadge(ctx, env, clean, selfie)
}

// measure writes a photo anew and returns what can be measured of its faults. clean is nil
// if it is no picture.
func (q *Requests) measure(ctx context.Context, sent []byte) (clean []byte, faults []Fault, err error) {
	if len(sent) > capture.MaxImage {
		return nil, []Fault{LargePicture}, nil
	}
	select {
	case q.decoding <- struct{}{}:
		defer func() { <-q.decoding }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	clean, err = capture.Clean(sent)
	if errors.Is(err, capture.ErrImage) {
		return nil, []Fault{NoPicture}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	flaws, err := capture.Flaws(clean)
	for _, f := range flaws {
		faults = append(faults, Fault(f))
	}
	return clean, faults, err
}

// badgeGiven keeps a photo without faults, and tells of it.
func (q *Requests) badgeGiven(ctx context.Context, tx *store.Tx, g giver, clean []byte, faults []Fault, reason string, by Client) error {
	sum, names := sha256.Sum256(clean), make([]string, len(faults))
	for i, f := range faults {
		names[i] = string(f)
	}
	said := strings.Join(names, ", ")
	detail := map[string]any{"subject": Subject(g.request.Env, g.use.Person), "image_hash": hex.EncodeToString(sum[:]), "image_size": len(clean)}
	if said != "" {
		detail["error"] = said
	}
	if err := audit.Append(ctx, tx, q.event(g.request, g.use, audit.PeopleSetPicture, by, detail)); err != nil {
		return err
	}
	var err error
	if said == "" {
		err = q.badgeTaken(ctx, tx, g, clean)
	} else {
		err = q.tell(ctx, tx, g.request, eventPictureRejected)
	}
	if err != nil || q.Hooks == nil {
		return err
	}
	if reason != "" {
		said = reason
	}
	return q.tellPicture(ctx, tx, g, clean, base64.StdEncoding.EncodeToString(sum[:]), said)
}

// badgeTaken keeps a photo as the picture that the person shares.
func (q *Requests) badgeTaken(ctx context.Context, tx *store.Tx, g giver, clean []byte) error {
	if err := tx.PutPicture(ctx, g.request.Env, g.use.Person, store.PictureChosen, clean); err != nil {
		return err
	}
	if q.Public != nil {
		if err := q.sharePicture(ctx, tx, g); err != nil {
			return err
		}
	}
	for _, event := range []string{eventPictureAccepted, eventPictureAdded} {
		if err := q.tell(ctx, tx, g.request, event); err != nil {
			return err
		}
	}
	if q.Public == nil {
		return nil
	}
	return q.shared(ctx, tx, g.request, g.use.Person)
}

// sharePicture adds the picture to what the person shares by the request, for as long as the
// rest.
func (q *Requests) sharePicture(ctx context.Context, tx *store.Tx, g giver) error {
	env, person := g.request.Env, g.use.Person
	url := []byte(store.JSON(q.PictureURL(env, person)))
	if err := tx.PutProperty(ctx, env, person, store.Property{Claim: pictureClaim, Value: url, ExpiresAt: g.share.ExpiresAt}); err != nil {
		return err
	}
	if slices.Contains(g.share.Claims, pictureClaim) {
		return nil
	}
	return tx.WidenShare(ctx, env, g.request.ID, person, append(slices.Clone(g.share.Claims), pictureClaim))
}

// tellPicture tells webhooks where the photo is for a while, and why it was refused.
func (q *Requests) tellPicture(ctx context.Context, tx *store.Tx, g giver, clean []byte, sum, refused string) error {
	env, person := g.request.Env, g.use.Person
	link, err := tx.AddPictureLink(ctx, env, person, clean, q.Now().Add(pictureLife))
	if err != nil {
		return err
	}
	name, err := q.nameOf(ctx, tx, env, person)
	if err != nil {
		return err
	}
	return q.Hooks.PictureGiven(ctx, tx, env, GivenPicture{Person: person, Subject: Subject(env, person), Request: g.request.ID, Name: name, Link: link, SHA256: sum, Error: refused})
}

// nameOf returns the name that a person shares, "" if none.
func (q *Requests) nameOf(ctx context.Context, tx *store.Tx, env, person string) (string, error) {
	return q.textOf(ctx, tx, env, person, "name")
}

// textOf returns what a person shares of a claim that is a text, "" if nothing.
func (q *Requests) textOf(ctx context.Context, tx *store.Tx, env, person, claim string) (string, error) {
	all, err := tx.Properties(ctx, env, person)
	i := slices.IndexFunc(all, func(p store.Property) bool { return p.Claim == claim && propertyStatus(p, q.Now()) == statusShared })
	if err != nil || i < 0 {
		return "", err
	}
	v, err := decodeValue(all[i].Value)
	return asText(v), err
}
