package site

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/request"
)

// Photos are those that people look at before they send one, and afterwards.
type Photos interface {
	DraftBadge(ctx context.Context, env, id, session string, chosen []byte) (faults []request.Fault, err error)
	SendDraft(ctx context.Context, env, id, session string, by request.Client) (faults []request.Fault, reason string, err error)
	DropDraft(ctx context.Context, env, id, session string) error
	BadgePhoto(ctx context.Context, env, id, session, kind string) ([]byte, error)
	ResumeBadge(ctx context.Context, env string, sessions map[string]string) (id string, err error)
}

func (v *visit) toBadge() { v.see(badgePath+"/"+v.r.PathValue("use"), nil) }

// sendBadge sends the photo that its person looked at.
func (v *visit) sendBadge() {
	id, session := v.use()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), performTime)
	defer cancel()
	faults, reason, err := v.site.cfg.Photos.SendDraft(ctx, v.req.Env, id, session, v.asker())
	v.badgeSent(ctx, faults, reason, err)
}

// retakeBadge forgets the photo that its person looked at.
func (v *visit) retakeBadge() {
	id, session := v.use()
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	err := v.site.cfg.Photos.DropDraft(ctx, v.req.Env, id, session)
	if err != nil && !errors.Is(err, request.ErrStep) {
		v.fail(err)
		return
	}
	v.toBadge()
}

// badgePhoto sends a photo to its person.
func (v *visit) badgePhoto() {
	id, session := v.use()
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	body, err := v.site.cfg.Photos.BadgePhoto(ctx, v.req.Env, id, session, bounded(v.r.PathValue("kind"), maxToken))
	switch {
	case errors.Is(err, request.ErrNoPhoto), errors.Is(err, request.ErrStep):
		v.fail(errNoPage)
		return
	case err != nil:
		v.fail(err)
		return
	}
	page.Picture(v.w, v.r, body)
}

// badgeState tells the page that waits when people decided.
func (v *visit) badgeState() {
	id, session := v.use()
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	b, err := v.site.cfg.Badges.Badge(ctx, v.req.Env, id, session)
	if errors.Is(err, request.ErrStep) {
		b, err = request.Badge{}, nil // taken back: the page leads on
	}
	if err != nil {
		v.fail(err)
		return
	}
	body, err := json.Marshal(map[string]string{"at": badgeAt(b)})
	if err != nil {
		v.fail(err)
		return
	}
	v.kept("application/json", false)
	v.body(string(body))
}

// badgeAt names how a photo stands.
func badgeAt(b request.Badge) string {
	at := []string{string(b.Refused), "none"}
	if !b.Asked.IsZero() {
		at[1] = b.Asked.UTC().Format("20060102150405.000")
	}
	return strings.Join(at, " ")
}

// BadgePhoto returns the address of a photo of the use.
func (s *screen) BadgePhoto(kind string) string { return s.BadgeStep("photo/" + kind) }

// BadgeStep returns the address of a form of the photo's page.
func (s *screen) BadgeStep(step string) string {
	return s.visit.address(badgePath+"/"+s.Sought.ID+"/"+step, nil)
}

// BadgeAgain returns the address at which another photo is taken while people look at one.
func (s *screen) BadgeAgain() string {
	return s.visit.address(badgePath+"/"+s.Sought.ID, url.Values{badgeAgain: {"1"}})
}

// badgeAgain is the parameter of that address.
const badgeAgain = "another"
