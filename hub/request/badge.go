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

// Faces judges a badge photo by the organisation's own program: selfie is the picture of
// the person that was verified with a document, nil if none is kept. It returns nothing
// for an environment without a program. reason is the program's word on Unsuitable.
type Faces interface {
	JudgeBadge(ctx context.Context, env string, photo, selfie []byte) (faults []Fault, reason string, err error)
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
	pictureClaim = "picture"
)

// ErrFaces says that the organisation's program gave no answer; nothing was kept.
var ErrFaces = errors.New("request: nobody looked at the photo")

// A Badge is what the badge page shows.
type Badge struct {
	Language string
	Since    time.Time // when the photo was given that is kept; zero: none
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
	if ok, err := q.Buckets.Take(ctx, "badge:"+o.Env+":"+o.By.Address, opensAtOnce, opensEvery); err != nil || !ok {
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

// badgeOf returns a use that may give a photo: its person shared, and shares still.
func badgeOf(ctx context.Context, tx *store.Tx, env, id, session string) (store.RequestUse, store.Request, error) {
	u, r, err := own(ctx, tx, env, id, session)
	if err == nil && (u.State != useShared || u.Person == "" || !asksPicture(r)) {
		err = ErrStep
	}
	return u, r, err
}

// Badge returns what the badge page of a use shows. ErrStep if nothing was shared, it was
// taken back, or no picture was asked for.
func (q *Requests) Badge(ctx context.Context, env, id, session string) (Badge, error) {
	return store.Get(ctx, q.Store, func(tx *store.Tx) (Badge, error) {
		u, _, err := badgeOf(ctx, tx, env, id, session)
		if err != nil {
			return Badge{}, err
		}
		_, since, err := tx.Picture(ctx, env, u.Person, store.PictureChosen)
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return Badge{Language: u.Language, Since: since}, err
	})
}

// SetBadge keeps a photo for a badge, written anew, in place of an earlier one, unless it
// has faults. Webhooks hear of it either way. reason is what the organisation's program
// said. ErrFaces: try again later.
func (q *Requests) SetBadge(ctx context.Context, env, id, session string, sent []byte, by Client) (faults []Fault, reason string, err error) {
	var u store.RequestUse
	var selfie []byte
	err = q.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if u, _, err = badgeOf(ctx, tx, env, id, session); err != nil {
			return err
		}
		selfie, _, err = tx.Picture(ctx, env, u.Person, store.PictureSelfie)
		if errors.Is(err, store.ErrNotFound) {
			selfie, err = nil, nil
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if ok, err := q.Buckets.Take(ctx, "badge photo:"+env+":"+u.Person, badgeTries, badgeEvery); err != nil || !ok {
		return nil, "", errors.Join(err, ErrTooMany)
	}
	clean, faults, err := q.measure(ctx, sent)
	if err == nil && len(faults) == 0 && q.Faces != nil {
		if faults, reason, err = q.Faces.JudgeBadge(ctx, env, clean, selfie); err != nil {
			q.Log.WarnContext(ctx, "nobody looked at a badge photo", "request_use", id, "error", err)
			err = ErrFaces
		}
	}
	if err != nil || clean == nil { // what is no picture is told to nobody else
		return faults, reason, err
	}
	return faults, reason, q.Store.Tx(ctx, func(tx *store.Tx) error {
		u, r, err := badgeOf(ctx, tx, env, id, session)
		if err != nil {
			return err
		}
		return q.badgeGiven(ctx, tx, u, r, clean, faults, reason, by)
	})
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
func (q *Requests) badgeGiven(ctx context.Context, tx *store.Tx, u store.RequestUse, r store.Request, clean []byte, faults []Fault, reason string, by Client) error {
	event := eventPictureRejected
	if len(faults) == 0 {
		event = eventPictureAccepted
		if err := tx.PutPicture(ctx, r.Env, u.Person, store.PictureChosen, clean); err != nil {
			return err
		}
	}
	sum, names := sha256.Sum256(clean), make([]string, len(faults))
	for i, f := range faults {
		names[i] = string(f)
	}
	detail := map[string]any{"subject": Subject(r.Env, u.Person), "image_hash": hex.EncodeToString(sum[:]), "image_size": len(clean)}
	if len(faults) > 0 {
		detail["error"] = strings.Join(names, ", ")
	}
	if err := audit.Append(ctx, tx, q.event(r, u, audit.PeopleSetPicture, by, detail)); err != nil {
		return err
	}
	if err := q.tell(ctx, tx, r, event); err != nil {
		return err
	}
	if len(faults) == 0 {
		if err := q.tell(ctx, tx, r, eventPictureAdded); err != nil {
			return err
		}
	}
	if q.Hooks == nil {
		return nil
	}
	link, err := tx.AddPictureLink(ctx, r.Env, u.Person, clean, q.Now().Add(pictureLife))
	if err != nil {
		return err
	}
	name, err := q.nameOf(ctx, tx, r.Env, u.Person)
	if err != nil {
		return err
	}
	said := strings.Join(names, ", ")
	if reason != "" {
		said = reason
	}
	return q.Hooks.PictureGiven(ctx, tx, r.Env, GivenPicture{Person: u.Person, Subject: Subject(r.Env, u.Person), Request: r.ID, Name: name,
		Link: link, SHA256: base64.StdEncoding.EncodeToString(sum[:]), Error: said})
}

// nameOf returns the name that a person shares, "" if none.
func (q *Requests) nameOf(ctx context.Context, tx *store.Tx, env, person string) (string, error) {
	all, err := tx.Properties(ctx, env, person)
	i := slices.IndexFunc(all, func(p store.Property) bool { return p.Claim == "name" && propertyStatus(p, q.Now()) == statusShared })
	if err != nil || i < 0 {
		return "", err
	}
	v, err := decodeValue(all[i].Value)
	return asText(v), err
}
