package site

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/verify/provider"
)

// Providers knows the addresses of outside services that know people.
type Providers interface {
	// Leave returns the address to which a person goes now.
	Leave(ctx context.Context, l provider.Leaving) (string, error)
}

// away returns the services that a method sends the person to.
func away(ask flow.Ask) []provider.Choice {
	var asked provider.Asked
	if ask.Form != policy.FormAway || json.Unmarshal(ask.Request, &asked) != nil {
		return nil
	}
	return asked.Providers
}

// awayScreen is the page on which people come back.
type awayScreen struct{ Answer, Back string }

// LeaveFor returns the address that leads to a service.
func (s *screen) LeaveFor(service string) string {
	return s.visit.address("/r/"+s.View.ID+"/leave", url.Values{"with": {service}})
}

// leave sends the person to the service that they chose. It changes nothing here, and is
// a link because browsers hold forms to our own addresses.
func (v *visit) leave() {
	view, err := v.view()
	if err != nil {
		v.fail(err)
		return
	}
	if view.Step != flow.StepProve || !view.Ask.Open || view.Ask.Form != policy.FormAway || v.r.Method == http.MethodHead {
		v.toRecovery()
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	to, err := v.site.cfg.Providers.Leave(ctx, provider.Leaving{
		Env: v.req.Env, Origin: v.req.Origin, Recovery: view.ID, Language: v.language(view.Language).Code(), Ask: view.Ask.Request, Provider: v.r.URL.Query().Get("with"),
	})
	if err != nil {
		v.site.cfg.Log.WarnContext(ctx, "a person cannot be sent to an identity provider", "recovery", view.ID, "error", err)
		v.fail(recovery.ErrUnavailable)
		return
	}
	v.goTo(to)
}

// goTo sends the person away.
func (v *visit) goTo(to string) {
	v.w.Header().Set("Location", to)
	v.w.WriteHeader(http.StatusSeeOther)
}

// maxReturn bounds the query with which a service sends people back, in bytes.
const maxReturn = 8 << 10

// comeBack is where a service sends the person back to. The browser keeps the session's
// cookie from requests that other sites cause, so the page sends what came as a form of
// ours: only the session that asked completes it (T13).
func (v *visit) comeBack() {
	q := v.r.URL.Query()
	id, request := strings.CutPrefix(provider.RecoveryOf(q.Get("state")), requestState)
	if len(v.r.URL.RawQuery) > maxReturn || !recoveryID.MatchString(id) || repeated(q) {
		v.fail(errNoPage)
		return
	}
	b, err := json.Marshal(provider.Answer{Code: q.Get("code"), State: q.Get("state"), Issuer: q.Get("iss"), Error: q.Get("error")})
	if err != nil {
		v.fail(err)
		return
	}
	s := v.screen(flow.View{})
	s.Title, s.Answer, s.Back = s.T("away.title"), string(b), v.address("/r/"+id+"/answer", nil)
	if request {
		s.Back = v.address(requestPath(id)+"/answer", nil)
	}
	v.show(http.StatusOK, "away", s)
}

// repeated reports whether a parameter comes twice (RFC 6749 3.1).
func repeated(q url.Values) bool {
	for _, values := range q {
		if len(values) > 1 {
			return true
		}
	}
	return false
}
