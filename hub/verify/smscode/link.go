package smscode

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
)

// Takes returns a number as it is written everywhere, if the environment sends text
// messages to it, or links over WhatsApp. It reads tx alone. Errors: ErrOff, ErrNumber,
// ErrCountry.
func Takes(ctx context.Context, tx *store.Tx, env, number string, whatsApp bool) (string, error) {
	body, err := tx.SMSSettings(ctx, env)
	if err != nil {
		return "", err
	}
	if body == nil {
		return "", ErrOff
	}
	var s Settings
	if err := json.Unmarshal(body, &s); err != nil {
		return "", err
	}
	if whatsApp && s.WhatsApp == nil {
		return "", ErrOff
	}
	n, err := s.Number(number)
	return n.E164, err
}

// A Link is on its way to a phone.
type Link struct {
	Env, To string
	URL     string
	Text    string // with the link in it; "": our words

	WhatsApp bool // over it, and not as a text message
}

// SendLink sends a link as Send sends a code, under the same limits of numbers and
// environments.
func (r *Route) SendLink(ctx context.Context, l Link) error {
	s, err := r.Settings(ctx, l.Env)
	if err != nil {
		return err
	}
	if l.WhatsApp {
		if s.WhatsApp == nil {
			return ErrOff
		}
		s = s.overWhatsApp()
	}
	to, err := s.Number(l.To)
	if err != nil {
		return err
	}
	text := l.Text
	if text == "" {
		if text, err = r.linkText(ctx, l); err != nil {
			return err
		}
	}
	req, err := s.request(ctx, to.E164, text)
	if err != nil {
		return errors.New("smscode: the request cannot be written")
	}
	m := Message{Env: l.Env, Account: "request:" + verify.Keyed(r.keys()[0], "number", to.E164)}
	if err := r.count(ctx, m, to, s); err != nil {
		return err
	}
	return r.post(req)
}

// linkText writes our words, in the first language of the environment.
func (r *Route) linkText(ctx context.Context, l Link) (string, error) {
	e, err := store.Get(ctx, r.store, func(tx *store.Tx) (store.Environment, error) { return tx.Environment(ctx, l.Env) })
	if err != nil {
		return "", err
	}
	return locale.Choose(e.Microsite.Languages, "").Text("sms.request", "company", strings.Join(strings.Fields(e.PublicName), " "), "link", l.URL), nil
}
