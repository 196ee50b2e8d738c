package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-id/postern/hub/api"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/smscode"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/protocol"
)

// requestHooks tells webhooks of requests.
type requestHooks struct {
	hooks  *webhook.Hooks
	origin func() string // of public_url
}

// RequestChanged implements request.Hooks.
func (h requestHooks) RequestChanged(ctx context.Context, tx *store.Tx, env, event string, r request.Document) error {
	c := webhook.RequestChange{ID: r.ID, Event: event, Request: r}
	if !r.PIIRemoved {
		_, c.Person, _ = request.ParseSubject(r.Subject)
	}
	return h.hooks.RequestChanged(ctx, tx, env, c)
}

// SharingChanged implements request.Hooks.
func (h requestHooks) SharingChanged(ctx context.Context, tx *store.Tx, env string, s request.Sharing) error {
	_, person, _ := request.ParseSubject(s.Subject)
	return h.hooks.SharingChanged(ctx, tx, env, webhook.Sharing{Person: person, Subject: s.Subject, Request: s.Request, Label: s.Label, Claims: s.Claims, Revoked: s.Revoked})
}

// PictureGiven implements request.Hooks.
func (h requestHooks) PictureGiven(ctx context.Context, tx *store.Tx, env string, p request.GivenPicture) error {
	return h.hooks.PictureGiven(ctx, tx, env, webhook.GivenPicture{Person: p.Person, Subject: p.Subject, Request: p.Request, Name: p.Name,
		URL: h.origin() + api.PicturesPath + p.Link, SHA256: p.SHA256, Error: p.Error})
}

// reviewed tells requests or recoveries what reviewers decided, whichever waits for it.
type reviewed struct {
	verify.Settler
	requests *request.Requests
}

// Settle implements verify.Settler.
func (s reviewed) Settle(ctx context.Context, env, verification, method string, v verify.Verdict) error {
	err := s.requests.Settle(ctx, env, verification, v)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.Settler.Settle(ctx, env, verification, method, v)
	case errors.Is(err, request.ErrStep):
		return verify.ErrNobody
	}
	return err
}

// A postman mails the links of requests.
type postman struct{ *notify.Notifier }

// QueueLink implements request.Mailer.
func (p postman) QueueLink(ctx context.Context, tx *store.Tx, r store.Request, to string) error {
	if !p.Usable() {
		return fmt.Errorf("%w: set smtp in the Caddyfile, or pass the link of the answer on yourself", request.ErrChannel)
	}
	err := p.QueueStaff(ctx, tx, notify.Staff{Env: r.Env, To: to, Words: "request", Origin: r.Origin, Path: request.LinkPath, Token: protocol.NewSecret(r.Ticket), Until: r.ExpiresAt})
	if errors.Is(err, notify.ErrNoAddress) {
		return request.ErrAddress
	}
	return err
}

// Ready implements request.Mailer.
func (p postman) Ready() error {
	if p.Usable() {
		return nil
	}
	return fmt.Errorf("%w: the claim email is confirmed by a mail: set smtp in the Caddyfile", request.ErrChannel)
}

// QueueDecision implements request.Mailer.
func (p postman) QueueDecision(ctx context.Context, tx *store.Tx, d request.Decision) error {
	words := map[bool]string{true: "badge.taken", false: "badge.refused"}[d.Taken]
	err := p.QueueStaff(ctx, tx, notify.Staff{Env: d.Request.Env, To: d.To, Words: words, Origin: d.Request.Origin, Path: request.LinkPath,
		Token: protocol.NewSecret(d.Request.Ticket), Until: d.Until, Language: d.Language})
	if errors.Is(err, notify.ErrNoAddress) || errors.Is(err, notify.ErrNoDomain) { // what was decided stays decided
		return nil
	}
	return err
}

// SendCode implements request.Mailer.
func (p postman) SendCode(ctx context.Context, m request.CodeMessage) error {
	return p.Notifier.SendCode(ctx, notify.Code{Env: m.Env, To: []string{m.To}, Asked: true, Language: m.Language, Origin: m.Origin, Code: m.Code, Until: m.Until})
}

// A texting sends the links of requests to phones.
type texting struct{ *smscode.Route }

// Takes implements request.Texter.
func (t texting) Takes(ctx context.Context, tx *store.Tx, env, number string, whatsApp bool) (string, error) {
	to, err := smscode.Takes(ctx, tx, env, number, whatsApp)
	switch {
	case errors.Is(err, smscode.ErrOff) && whatsApp:
		err = fmt.Errorf("%w: set whatsapp in how this environment sends text messages (POST /api/envs/{env}/sms), or pass the link of the answer on yourself", request.ErrChannel)
	case errors.Is(err, smscode.ErrOff):
		err = fmt.Errorf("%w: set how this environment sends text messages (POST /api/envs/{env}/sms), or pass the link of the answer on yourself", request.ErrChannel)
	case errors.Is(err, smscode.ErrNumber), errors.Is(err, smscode.ErrCountry):
		err = request.ErrAddress
	}
	return to, err
}

// Ready implements request.Texter.
func (t texting) Ready(ctx context.Context, tx *store.Tx, env string) error {
	body, err := tx.SMSSettings(ctx, env)
	if err == nil && body == nil {
		err = fmt.Errorf("%w: the claim phone_number is confirmed by a text message: set how this environment sends them (POST /api/envs/{env}/sms)", request.ErrChannel)
	}
	return err
}

// SendCode implements request.Texter.
func (t texting) SendCode(ctx context.Context, m request.CodeMessage) error {
	err := t.Send(ctx, smscode.Message{Env: m.Env, To: m.To, Account: "request:" + m.Use, Client: m.Client, Asked: true, Language: m.Language, Origin: m.Origin, Code: m.Code, Until: m.Until})
	if errors.Is(err, smscode.ErrLimit) {
		err = fmt.Errorf("%w: %w", request.ErrTooMany, err)
	}
	return err
}

// SendLink implements request.Texter.
func (t texting) SendLink(ctx context.Context, m request.LinkMessage) error {
	err := t.Route.SendLink(ctx, smscode.Link{Env: m.Env, To: m.To, URL: m.Link, Text: m.Body(), WhatsApp: m.WhatsApp})
	for _, final := range []error{smscode.ErrOff, smscode.ErrNumber, smscode.ErrCountry, smscode.ErrLimit} {
		if errors.Is(err, final) {
			return fmt.Errorf("%w: %w", request.ErrAddress, err)
		}
	}
	return err
}
