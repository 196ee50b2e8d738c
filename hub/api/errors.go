package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/evaluation"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
)

// badRequest is a refusal that names what to mend. Each line is shown to the caller.
type badRequest []string

// Error implements error.
func (b badRequest) Error() string { return "api: " + strings.Join(b, "; ") }

// refusal is one line with a status of its own.
type refusal struct {
	status int
	text   string
}

// Error implements error.
func (r refusal) Error() string { return "api: " + r.text }

// bad returns a refusal of one line.
func bad(line string) error { return badRequest{line} }

// Errors that become a status of their own.
var (
	errUnauthorized = errors.New("api: the API key is missing, unknown, switched off or expired")
	errBearer       = errors.New("api: this path takes Authorization: Bearer only")
	errAddress      = errors.New("api: this organisation is not reached from this address")
	errForbidden    = errors.New("api: the role of this API key does not reach this")
	errAmbiguous    = errors.New("api: several accounts bear this identifier; use the id of one")
	errOrigin       = errors.New("api: the page is not one of the application that the token was made for")
	errTooMany      = errors.New("api: too many requests")
	errAnalyzer     = errors.New("api: the analyzer gave no answer")
)

// An answer is what an error of another package is to a client.
type answer struct {
	err    error
	status int
	text   string
}

// answers maps errors to statuses, first match first. Their texts are shown, those of
// other errors are not.
var answers = []answer{
	{errUnauthorized, http.StatusUnauthorized, "the API key is missing, unknown, switched off or expired"},
	{errBearer, http.StatusUnauthorized, "this path takes Authorization: Bearer only"},
	{errAddress, http.StatusForbidden, "this organisation lets nobody in from this address"},
	{errForbidden, http.StatusForbidden, "the role of this API key does not reach this"},
	{party.ErrToken, http.StatusUnauthorized, "token: not an id_token that was made here for an application and is still good"},
	{errOrigin, http.StatusForbidden, "Origin: not one of the callback addresses of the application that the token was made for"},
	{errTooMany, http.StatusTooManyRequests, "too many requests; Retry-After says when to come back"},
	{errAnalyzer, http.StatusServiceUnavailable, "the analyzer of this environment gave no answer that counts; try again"},
	{store.ErrElsewhere, http.StatusServiceUnavailable, "the storage of this environment did not give the picture back; try again, and see GET /api/envs/{env}/storage"},
	{party.ErrSigner, http.StatusServiceUnavailable, "the signer outside of the hub does not answer: see the hub's log, and try again"},
	{errAmbiguous, http.StatusConflict, "several accounts bear this identifier; use the id of one"},
	{store.ErrNotFound, http.StatusNotFound, "not found"},
	{evaluation.ErrOff, http.StatusConflict, "no agent of the directory evaluates: set evaluation = true in the agent's own file and start it again"},
	{evaluation.ErrGroup, http.StatusBadRequest, "group: the directory has no group of this name or id"},
	{evaluation.ErrRunning, http.StatusConflict, "an evaluation of this directory is under way"},
	{staff.ErrLast, http.StatusConflict, "the last owner stays; make somebody else an owner first, who has signed in once and whose 24 hours are over"},
	{store.ErrRevoked, http.StatusConflict, "the agent was revoked, which is final; enrol it again"},
	{store.ErrConflict, http.StatusConflict, "this does not fit the present state; read it again"},
	{store.ErrUnavailable, http.StatusServiceUnavailable, "the store does not answer; try again"},
}

// fail answers with what err means. It is the only place where an error becomes
// something that a caller sees.
func (c *call) fail(err error) {
	var refused badRequest
	var other refusal
	var picture pictureError
	var face unfit
	switch i := slices.IndexFunc(answers, func(a answer) bool { return errors.Is(err, a.err) }); {
	case errors.As(err, &refused):
		failLines(c.w, http.StatusBadRequest, refused)
	case errors.As(err, &other):
		c.refuse(other.status, other.text)
	case errors.As(err, &picture):
		picture.answer(c.w)
	case errors.As(err, &face):
		fail(c.w, http.StatusUnprocessableEntity, face.Error())
	case i >= 0:
		c.refuse(answers[i].status, answers[i].text)
	default:
		c.broke(err)
	}
}

// refuse answers with a status, and with what a client is told beside it: how to come, or when.
func (c *call) refuse(status int, text string) {
	switch status {
	case http.StatusUnauthorized:
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="postern"`)
	case http.StatusServiceUnavailable:
		c.w.Header().Set("Retry-After", retryAfter)
	case http.StatusTooManyRequests:
		if c.w.Header().Get("Retry-After") == "" { // whoever counts knows better
			c.w.Header().Set("Retry-After", retryLater)
		}
	}
	fail(c.w, status, text)
}

// broke answers where the hub failed: the log says by what.
func (c *call) broke(err error) {
	if !errors.Is(err, context.Canceled) {
		c.api.Log.Error("request failed", "pattern", c.row.pattern, "trace", c.trace, "error", err)
	}
	fail(c.w, http.StatusInternalServerError, "something failed here; the log has it under "+c.trace)
}

// retryAfter is when to ask again what something that is away was needed for, in seconds.
const retryAfter = "5"

// retryLater is when to ask again what may be asked a few times in an hour or a day, in
// seconds.
const retryLater = "3600"

// fail writes an error of one line.
func fail(w http.ResponseWriter, status int, text string) { failLines(w, status, []string{text}) }

// failLines writes the error type of the public API, for every status.
func failLines(w http.ResponseWriter, status int, lines []string) {
	b, _ := json.Marshal(struct { // strings and a number always marshal
		Status int      `json:"status"`
		Errors []string `json:"errors"`
	}{status, lines})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
