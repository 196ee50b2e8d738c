package site

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/hub/verify/capture"
)

// Badges takes the photos of people who proved who they are.
type Badges interface {
	BeginBadge(ctx context.Context, b request.BadgeOrder) (id, session string, err error)
	Badge(ctx context.Context, env, id, session string) (request.Badge, error)
	SetBadge(ctx context.Context, env, id, session string, photo []byte, by request.Client) (faults []request.Fault, reason string, err error)
}

// Addresses of the badge page. The photo is sent to the second one.
const (
	badgePath    = "/badge"
	badgeUsePath = "/badge/{use}"
	flowBadge    = "badge"
)

// badgeScreen is the page that takes the photo.
type badgeScreen struct {
	Rules   []string
	Kept    string // when the photo that is kept was given; "": none
	Faults  []string
	Badge   request.Badge
	Refused string // what to do about a photo that people did not take; "": nothing
	Resume  string // address of the photo that this browser began; "": none
}

// badgeRules are what a photo must show, in the order in which a person thinks of it.
var badgeRules = []string{"badge.rule.alone", "badge.rule.front", "badge.rule.light", "badge.rule.wall", "badge.rule.bare", "badge.rule.sharp"}

// badgeLink returns the presigned link that admits to the badge page; nil if this browser
// came with none.
func (v *visit) badgeLink() (*token.Link, error) {
	link, err := v.link()
	if err != nil || link == nil || link.Flow != flowBadge {
		return nil, err
	}
	return link, nil
}

// badge says what will happen. It begins nothing: people prove who they are first. A link
// may lead here as it does to the first page.
func (v *visit) badge() {
	if q := v.r.URL.Query(); q.Has("id_token") {
		v.exchange(q)
		return
	}
	link, err := v.badgeLink()
	switch {
	case err != nil:
		v.fail(err)
	case link == nil:
		v.closed()
	default:
		v.showBegin()
	}
}

func (v *visit) showBegin() {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	use, err := v.site.cfg.Photos.ResumeBadge(ctx, v.req.Env, v.uses())
	if err != nil {
		v.fail(err)
		return
	}
	s := v.screen(flow.View{})
	s.Variant, s.Title, s.Rules = "request", s.T("badge.title"), s.all(badgeRules...)
	if use != "" {
		s.Resume = v.address(badgePath+"/"+use, nil)
	}
	v.show(http.StatusOK, "badge", s)
}

// beginBadge makes the request by which the person proves who they are. No recovery is
// begun and none is touched (T1).
func (v *visit) beginBadge() {
	link, err := v.badgeLink()
	if err != nil {
		v.fail(err)
		return
	}
	if link == nil {
		v.closed()
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	o := request.BadgeOrder{Env: v.req.Env, Origin: v.host.Origin, Language: v.language("").Code(), By: v.asker()}
	if link.Email != token.AnyEmail {
		o.Label = link.Email
	}
	if link.OneShot {
		o.Link, o.LinkEnds = link.ID, link.Expires
	}
	id, session, err := v.site.cfg.Badges.BeginBadge(ctx, o)
	if errors.Is(err, request.ErrGone) {
		v.badLink()
		return
	}
	if err != nil {
		v.fail(err)
		return
	}
	v.rememberUse(id, session)
	v.see(requestPath(id), nil)
}

// theBadge shows the page that takes the photo.
func (v *visit) theBadge() { v.showBadge(http.StatusOK, nil, "") }

func (v *visit) showBadge(status int, faults []request.Fault, reason string) {
	id, session := v.use()
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	b, err := v.site.cfg.Badges.Badge(ctx, v.req.Env, id, session)
	if errors.Is(err, request.ErrStep) {
		v.toRequest()
		return
	}
	if err != nil {
		v.fail(err)
		return
	}
	if v.r.URL.Query().Has(badgeAgain) {
		b.Asked = time.Time{}
	}
	s := v.badgeScreen(b, id)
	for _, f := range faults {
		s.Faults = append(s.Faults, s.T("badge.fault."+string(f)))
	}
	if reason != "" && slices.Contains(faults, request.Unsuitable) {
		s.Faults = append(s.Faults, reason)
	}
	if len(s.Faults) > 0 {
		s.wrong("photo", s.Faults[0])
		s.Title = s.T("badge.photo.title")
	}
	if b.Draft && len(faults) == 0 {
		s.Title, s.Script = s.T("badge.look.title"), ""
		v.show(status, "badgelook", s)
		return
	}
	page.Allow(v.w.Header(), "camera")
	v.show(status, "badgephoto", s)
}

// badgeScreen says how the photo of a use stands.
func (v *visit) badgeScreen(b request.Badge, id string) *screen {
	s := v.screen(flow.View{Language: b.Language})
	s.Variant, s.Title, s.Rules, s.Badge = "request", s.T("badge.photo.title"), s.all(badgeRules...), b
	s.Sought, s.Mark = request.View{ID: id}, badgeAt(b)
	s.Script = v.site.files.Path("capture.js")
	if !b.Since.IsZero() {
		s.Kept, s.Title = s.Language.DateTime(b.Since), s.T("badge.taken.title")
	}
	if b.Refused != "" {
		s.Refused, s.Title = s.T("badge.fault."+string(b.Refused)), s.T("badge.refused.title")
	}
	if !b.Asked.IsZero() {
		s.Title = s.T("badge.asked.title")
	}
	return s
}

// maxBadgeForm is one of the largest pictures, one byte more to know that it was larger,
// and what a form adds.
const maxBadgeForm = capture.MaxImage + 1<<20

// sentBadge takes the photo. Whoever may not give one is answered before it is read.
func (v *visit) sentBadge() {
	id, session := v.use()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), performTime)
	defer cancel()
	if _, err := v.site.cfg.Badges.Badge(ctx, v.req.Env, id, session); errors.Is(err, request.ErrStep) {
		v.toRequest()
		return
	} else if err != nil {
		v.fail(err)
		return
	}
	if err := v.host.CheckFiles(v.w, v.r, maxBadgeForm); errors.Is(err, page.ErrBody) {
		v.showBadge(http.StatusRequestEntityTooLarge, []request.Fault{request.LargePicture}, "")
		return
	} else if err != nil {
		v.fail(err)
		return
	}
	body, err := v.upload("photo")
	switch {
	case errors.Is(err, capture.ErrImage):
		v.showBadge(http.StatusUnprocessableEntity, []request.Fault{request.LargePicture}, "")
	case err != nil || len(body) == 0:
		v.showBadge(http.StatusUnprocessableEntity, []request.Fault{missingPhoto}, "")
	case v.field("seen") != "": // the page's script showed it already
		faults, reason, err := v.site.cfg.Badges.SetBadge(ctx, v.req.Env, id, session, body, v.asker())
		v.badgeSent(ctx, faults, reason, err)
	default:
		faults, err := v.site.cfg.Photos.DraftBadge(ctx, v.req.Env, id, session, body)
		v.badgeSent(ctx, faults, "", err)
	}
}

// Faults of a form, in words beside those of package request.
const (
	missingPhoto request.Fault = "missing"
	nobodyLooked request.Fault = "away"
)

// badgeSent says what became of a photo.
func (v *visit) badgeSent(ctx context.Context, faults []request.Fault, reason string, err error) {
	id, session := v.use()
	if errors.Is(err, request.ErrFaces) {
		faults, err = []request.Fault{nobodyLooked}, nil
	}
	switch {
	case errors.Is(err, request.ErrStep):
		v.see(badgePath+"/"+id, nil) // which leads on, wherever that is
		return
	case err != nil:
		v.fail(err)
		return
	case len(faults) > 0:
		v.showBadge(http.StatusUnprocessableEntity, faults, reason)
		return
	}
	if b, err := v.site.cfg.Badges.Badge(ctx, v.req.Env, id, session); err == nil && !b.Asked.IsZero() { // come back as long as people have time
		v.host.SetCookie(v.w, requestCookie+id, session, time.Until(b.Until), http.SameSiteStrictMode)
	}
	v.see(badgePath+"/"+id, nil)
}

// BadgePath returns the address of the page that takes the photo of a use.
func (s *screen) BadgePath() string { return s.visit.address(badgePath+"/"+s.Sought.ID, nil) }
