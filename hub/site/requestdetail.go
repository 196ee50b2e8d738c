package site

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/postern-id/postern/hub/request"
)

// Details takes what people say of themselves, and the codes that confirm it.
type Details interface {
	Give(ctx context.Context, env, id, session, typed string, by request.Client) error
	ConfirmDetail(ctx context.Context, env, id, session, code string) error
	ForgetDetail(ctx context.Context, env, id, session string) error
}

// maxDetail bounds what is typed, in bytes.
const maxDetail = 400

// detailWrongs are the words for what was wrong with a detail; "" is that of its claim.
var detailWrongs = map[error]string{
	request.ErrDetail: "", request.ErrDomain: "domain", request.ErrCode: "code", request.ErrTooMany: "many", request.ErrSend: "send",
}

// giveDetail takes a detail, or the code that confirms it.
func (v *visit) giveDetail() {
	id, session := v.use()
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	var err error
	switch what := v.field("what"); what {
	case "code":
		err = v.site.cfg.Details.ConfirmDetail(ctx, v.req.Env, id, session, bounded(v.field("code"), maxDetail))
	case "change":
		err = v.site.cfg.Details.ForgetDetail(ctx, v.req.Env, id, session)
	default:
		err = v.site.cfg.Details.Give(ctx, v.req.Env, id, session, bounded(v.field("detail"), maxDetail), v.asker())
	}
	for of, word := range detailWrongs {
		if errors.Is(err, of) {
			v.detailWrong(word)
			return
		}
	}
	if err != nil && !errors.Is(err, request.ErrStep) {
		v.fail(err)
		return
	}
	v.toRequest()
}

// detailWrong shows the page again with what was wrong.
func (v *visit) detailWrong(word string) {
	view, ok := v.sought()
	if !ok {
		return
	}
	if view.Step != request.StepDetail {
		v.toRequest()
		return
	}
	if word == "" {
		word = view.Detail
	}
	v.showUse(http.StatusUnprocessableEntity, view, func(s *screen) {
		s.wrong(map[bool]string{true: "code", false: "detail"}[view.Sent != ""], s.T("request.detail.wrong."+word))
		if view.Sent == "" {
			s.Typed = bounded(v.field("detail"), maxDetail)
		}
	})
}

// DetailText writes a word of the detail that is asked for.
func (s *screen) DetailText(word string) string {
	return s.T("request.detail." + word + "." + s.Sought.Detail)
}

// DetailDomains lists the domains of which a mail address must be, "" for any.
func (s *screen) DetailDomains() string {
	if s.Sought.Detail != request.Email || len(s.Sought.Domains) == 0 {
		return ""
	}
	return "@" + strings.Join(s.Sought.Domains, ", @")
}

// detailInput is how a browser helps with a detail.
type detailInput struct{ Mode, Complete string }

// DetailInput returns that of the detail which is asked for.
func (s *screen) DetailInput() detailInput {
	return map[string]detailInput{
		request.Phone: {"tel", "tel"}, request.Email: {"email", "email"}, request.PreferredName: {"text", "nickname"},
	}[s.Sought.Detail]
}
