package site

import (
	"context"
	"net/http"
	"net/url"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/verify/provider"
)

// requestState begins the state with which a service sends back somebody who answers a
// request, where otherwise a recovery stands.
const requestState = "request~"

// requestWays shows the choice once more, while a method is asked for.
func (v *visit) requestWays() {
	view, ok := v.sought()
	if !ok {
		return
	}
	if view.Step != request.StepProve || len(view.Methods) < 2 {
		v.toRequest()
		return
	}
	view.Step = request.StepMethod
	v.showUse(http.StatusOK, view, nil)
}

// sought reads the use that the address names, for this browser.
func (v *visit) sought() (request.View, bool) {
	id, session := v.use()
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	view, err := v.site.cfg.Requests.View(ctx, v.req.Env, id, session)
	if err != nil {
		v.fail(err)
	}
	return view, err == nil
}

func chooseForRequest(ctx context.Context, v *visit, id, session string) error {
	return v.site.cfg.Requests.Choose(ctx, v.req.Env, id, session, v.field("method"))
}

// leaveRequest sends the person to the service that they chose, see leave.
func (v *visit) leaveRequest() {
	view, ok := v.sought()
	if !ok {
		return
	}
	if view.Step != request.StepProve || view.Form != policy.FormAway || v.r.Method == http.MethodHead {
		v.toRequest()
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	to, err := v.site.cfg.Providers.Leave(ctx, provider.Leaving{
		Env: v.req.Env, Origin: v.req.Origin, Recovery: requestState + view.ID, Language: v.language(view.Language).Code(), Ask: view.Ask, Provider: v.r.URL.Query().Get("with"),
	})
	if err != nil {
		v.site.cfg.Log.WarnContext(ctx, "a person cannot be sent to an identity provider", "request_use", view.ID, "error", err)
		v.fail(recovery.ErrUnavailable)
		return
	}
	v.goTo(to)
}

// LeaveRequest returns the address that leads to a service.
func (s *screen) LeaveRequest(service string) string {
	return s.visit.address(requestPath(s.Sought.ID)+"/leave", url.Values{"with": {service}})
}
