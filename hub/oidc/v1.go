package oidc

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// pollPath begins the addresses that scripts ask.
const pollPath = "/api/authorize/"

// Numbers by which the public API says how an authorization stands.
const (
	statusPending  = 100
	statusComplete = 200
	statusRejected = 403
	statusExpired  = 510
)

// An AuthorizeResponse answers who begins a sign-in and asks for JSON in place of a page.
// What is empty is absent.
type AuthorizeResponse struct {
	ErrorMessage string `json:"error_message,omitempty"`
	RedirectURI  string `json:"redirect_uri,omitempty"` // where to go on: the page, or the client with an error
	EnvName      string `json:"env_name,omitempty"`
	QRCode       []byte `json:"qrcode,omitempty"` // PNG
	Request      string `json:"request,omitempty"`
	SessionToken string `json:"session_token,omitempty"`
	Experience   string `json:"app_clip_experience,omitempty"`
	Return       string `json:"return"` // as it was asked
}

// A PollResponse says how an authorization stands.
type PollResponse struct {
	Status      int        `json:"status"`
	RedirectURI string     `json:"redirect_uri,omitempty"` // once it is over: where the browser goes
	Review      bool       `json:"waiting_for_review,omitempty"`
	LastEvent   *PollEvent `json:"last_event,omitempty"`
}

// A PollEvent is the state that was reached last: asked, claimed (a code is to be typed
// on the page of the authorization), agreed, proving, answered.
type PollEvent struct {
	Event string `json:"event"`
}

// A CancelResponse says where the browser goes.
type CancelResponse struct {
	RedirectURI string `json:"redirect_uri"`
}

// knownReturns are the values of "return", the application to which a phone goes back.
var knownReturns = []string{"chrome", "firefox", "https"}

func (a *authorization) returns() string {
	if slices.Contains(knownReturns, a.q["return"]) {
		return a.q["return"]
	}
	return ""
}

// serveV1 serves the older addresses of an issuer. They take either a request_uri or all
// parameters, as the newer ones do.
func (p *Provider) serveV1(at party.Issuer) {
	for _, pattern := range []string{"GET /authorize", "GET /oauth/authorize", "GET /x/{experience}/authorize"} {
		p.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { p.authorize(w, r, at) })
	}
	p.mux.HandleFunc("GET "+framePath, func(w http.ResponseWriter, r *http.Request) { p.authorize(w, r, at) })
	p.mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { p.token(w, r, at) })
	p.mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) { p.endSession(w, r, at) })
}

// framePath is where a sign-in begins that a client shows in a frame of its own page.
const framePath = "/authorize/iframe"

// A beginning is an exchange that a browser has just begun.
type beginning struct{ id, browser, site, ticket string }

// present makes an exchange one that waits on a page here.
func (p *Provider) present(a *authorization, tx *store.Tx, x *exchange, browser string) (ticket string, err error) {
	x.Device, x.Framed, x.Theme = short(a.r.UserAgent()), a.framed(), ""
	if x.Framed {
		x.Theme = themeOf(a.r.URL.Query())
	}
	return ticketOf(browser, x.ID, x.Turn), p.show(a.r.Context(), tx, x, browser)
}

func (a *authorization) framed() bool { return a.r.URL.Path == framePath }

// leads returns where the browser goes that began: on a phone straight to the proof, and
// otherwise to the page from which a phone may go on.
func (b beginning) leads(a *authorization) string {
	if a.client.Terms.Screen && (a.framed() || !handheld(a.r)) {
		return waitAddress(waitPath, b.id, "", b.browser, a.framed())
	}
	return b.site + SignInPath + "#" + b.ticket
}

// handheld reports whether a browser says that it is one of a phone.
func handheld(r *http.Request) bool {
	agent := r.UserAgent()
	return r.Header.Get("Sec-Ch-Ua-Mobile") == "?1" || strings.Contains(agent, "Mobile") || strings.Contains(agent, "Android") || strings.Contains(agent, "iPhone")
}

// respond answers who began and asks for JSON. The code that a phone shows is typed on
// the page of redirect_uri: nothing else takes it.
func (p *Provider) respond(a *authorization, b beginning) {
	out := AuthorizeResponse{EnvName: a.client.Settings.Name, Request: b.id, SessionToken: b.browser, Experience: short(a.r.PathValue("experience")),
		Return: a.returns(), RedirectURI: p.cfg.Origin() + waitAddress(waitPath, b.id, "", b.browser, true)}
	err := p.cfg.Store.Read(a.r.Context(), func(tx *store.Tx) error {
		e, err := tx.Environment(a.r.Context(), a.client.Env)
		if out.EnvName = e.PublicName; out.EnvName == "" {
			out.EnvName = e.Name
		}
		return err
	})
	if err == nil {
		out.QRCode, err = p.cfg.Picture.PNG(b.site + SignInPath + "#" + phoneMark + b.ticket)
	}
	if err != nil {
		p.refuse(a, err)
		return
	}
	writeJSON(a.w, a.r, http.StatusOK, []byte(store.JSON(out)))
}

// respondWrong answers who asked for JSON that it cannot go on; to is the client's own
// address with the error, if it may be told.
func respondWrong(a *authorization, status int, text, to string) {
	writeJSON(a.w, a.r, status, []byte(store.JSON(AuthorizeResponse{ErrorMessage: text, RedirectURI: to, Return: a.returns()})))
}

// asksJSON reports whether a client asks for JSON in place of a page.
func asksJSON(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Accept"), ",")
	kind, _, _ = strings.Cut(kind, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/json")
}

// poll says how an authorization stands to the browser that began it. It changes nothing.
func (p *Provider) poll(w http.ResponseWriter, r *http.Request) {
	a, err := p.waiter(w, r)
	switch {
	case errors.Is(err, errGone):
		writeJSON(w, r, http.StatusOK, []byte(store.JSON(PollResponse{Status: statusExpired})))
	case errors.Is(err, errBusy):
		p.fail(w, r, &oauthError{http.StatusTooManyRequests, "temporarily_unavailable", ""})
	case err != nil:
		p.fail(w, r, p.trouble(r, "an authorization cannot be read", err))
	default:
		writeJSON(w, r, http.StatusOK, []byte(store.JSON(a.stands())))
	}
}

func (a *waiter) stands() PollResponse {
	out := PollResponse{Status: statusPending, Review: a.review, LastEvent: &PollEvent{a.x.State}}
	if a.x.State == stateAnswered && a.x.shared() {
		out.Status, out.RedirectURI = statusComplete, a.host.Origin+a.address(waitPath, "")
		if a.x.Answer != nil && a.x.Answer.Error != "" {
			out.Status = statusRejected
		}
	}
	return out
}

// stop ends an authorization for a client that speaks JSON.
func (p *Provider) stop(w http.ResponseWriter, r *http.Request) {
	a, err := p.waiter(w, r)
	if err == nil && !a.inQuery && !a.ours() {
		err = errGone
	}
	if err == nil {
		err = p.cfg.Store.Tx(r.Context(), func(tx *store.Tx) error { return p.cancel(r.Context(), tx, a) })
	}
	switch {
	case errors.Is(err, errBusy):
		p.fail(w, r, &oauthError{http.StatusTooManyRequests, "temporarily_unavailable", ""})
	case errors.Is(err, errGone), errors.Is(err, request.ErrStep):
		writeJSON(w, r, http.StatusNotFound, []byte(`{"status":404,"errors":["there is no such authorization, or it is over"]}`))
	case err != nil:
		p.fail(w, r, p.trouble(r, "an authorization cannot be ended", err))
	default:
		writeJSON(w, r, http.StatusOK, []byte(store.JSON(CancelResponse{a.host.Origin + a.address(waitPath, "")})))
	}
}

// ours reports whether a script of our own pages sent a request that only a cookie proves.
func (a *waiter) ours() bool {
	origin, site := a.r.Header.Get("Origin"), a.r.Header.Get("Sec-Fetch-Site")
	return (origin == "" || origin == a.host.Origin) && (site == "" || site == "same-origin")
}
