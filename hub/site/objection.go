package site

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
)

// ObjectionPath is the page "this was not me"; a notice adds the token as its only
// parameter, "token".
const ObjectionPath = "/not-me"

// maxToken bounds the token of a notice.
const maxToken = 128

// objectionScreen is the page "this was not me".
type objectionScreen struct {
	Objection operation.Objection
	What      template.HTML
	Token     string
}

// objection shows what the button would do. Mail programs that look behind links do
// nothing by it.
func (v *visit) objection() {
	v.answerObjection(v.r.URL.Query()["token"], v.site.cfg.Notices.NotMeView)
}

// object stops the recoveries of the account.
func (v *visit) object() {
	v.answerObjection(v.r.PostForm["token"], v.site.cfg.Notices.NotMe)
}

func (v *visit) answerObjection(tokens []string, ask func(ctx context.Context, env, token string) (operation.Objection, error)) {
	if len(tokens) != 1 || tokens[0] == "" || len(tokens[0]) > maxToken {
		v.goneObjection()
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	o, err := ask(ctx, v.req.Env, tokens[0])
	switch {
	case errors.Is(err, recovery.ErrNotFound):
		v.goneObjection()
	case err != nil:
		v.fail(err)
	default:
		v.showObjection(o, tokens[0])
	}
}

func (v *visit) showObjection(o operation.Objection, token string) {
	s := v.screen(flow.View{})
	s.Objection, s.Token = o, token
	s.Title = s.T("notme.title")
	if o.Used {
		s.Title = s.T("notme.done.title")
	}
	s.What = s.H("notme.what."+string(o.Action), "at", o.At, "account", o.Account)
	v.show(http.StatusOK, "objection", s)
}

func (v *visit) goneObjection() {
	v.message(http.StatusNotFound, "notme.gone.title", []string{"notme.gone.text"}, nil)
}

// switchPath and switchQuery are the address under which the same page is read in
// another language.
func (v *visit) switchPath() string {
	p := v.r.URL.Path
	switch {
	case slices.Contains(ownPaths, p), strings.HasPrefix(p, approvePath), strings.HasPrefix(p, signInPath): // and approverPath
		return p
	case strings.HasPrefix(p, badgePath+"/"):
		return badgePath + "/" + url.PathEscape(bounded(v.r.PathValue("use"), maxToken))
	case v.r.PathValue("use") != "":
		return request.LinkPath + "/" + url.PathEscape(bounded(v.r.PathValue("use"), maxToken))
	case v.id() != "":
		return "/r/" + v.id()
	}
	return "/"
}

// ownPaths are pages that are read in another language where they are.
var ownPaths = []string{ObjectionPath, request.LinkPath, PhonePath, badgePath}

func (v *visit) switchQuery() url.Values {
	kept := url.Values{}
	for _, name := range keptQuery[v.switchPath()] {
		if values := v.r.URL.Query()[name]; len(values) > 0 {
			kept[name] = values
		}
	}
	return kept
}

// keptQuery lists what a change of the language keeps of an address.
var keptQuery = map[string][]string{
	"/":           {"email", "dir", "op", "flow"},
	ObjectionPath: {"token"},
}
