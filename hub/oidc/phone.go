package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
)

// A picture on the screen of the browser that began leads a phone on. What the phone
// proves is then answered in that browser, so whoever has somebody else read a picture
// could sign in as them. Therefore the phone says what was begun, where and when, and
// shows a code that is typed where the picture is (T13): before that it proves nothing.
//
//	asked → claimed → agreed → proving → answered

// Limits of phones.
const (
	phoneMark  = "p."    // begins a ticket that a phone reads off a screen
	phoneCodes = 1000000 // codes of six digits
	maxTyped   = 3       // wrong codes of one phone
	maxTurns   = 5       // phones that were turned away
)

// A phone is who has read the picture.
type phone struct {
	Code   string    `json:"code"`
	Device string    `json:"device"` // its User-Agent
	At     time.Time `json:"at"`
	Wrong  int       `json:"wrong,omitempty"`
}

// A Reading is what a phone is told that has read a picture.
type Reading struct {
	Client string    // who asks
	Device string    // User-Agent of the browser that began
	At     time.Time // when it did
	Code   string    // to be typed there
	Agreed bool      // it was: the phone can go on
	Until  time.Time
}

// ticketOf is the ticket that the browser of a secret can show again and again. Only its
// hash is kept. turn tells it from the one that a phone read which was turned away.
func ticketOf(browser, id string, turn int) string {
	m := hmac.New(sha256.New, []byte(browser))
	fmt.Fprintf(m, "postern/oidc/ticket/v1\x00%s\x00%d", id, turn)
	return id + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// show puts an exchange into the state in which its browser shows the ticket.
func (p *Provider) show(ctx context.Context, tx *store.Tx, x *exchange, browser string) error {
	x.State, x.Phone, x.Secret = stateAsked, nil, store.HashToken(ticketOf(browser, x.ID, x.Turn))
	return p.keep(ctx, tx, x)
}

// keep writes an exchange under the secret that it has.
func (p *Provider) keep(ctx context.Context, tx *store.Tx, x *exchange) error {
	x.say()
	err := tx.SaveOIDCExchange(ctx, &x.OIDCExchange)
	if errors.Is(err, store.ErrConflict) {
		err = errGone
	}
	return err
}

// claim lets the phone that has read a picture wait for its code, and returns what it
// waits by. Of many phones with one ticket, one does.
func (p *Provider) claim(ctx context.Context, env, ticket string, by recovery.Client) (secret string, err error) {
	n, err := rand.Int(rand.Reader, big.NewInt(phoneCodes))
	if err != nil {
		return "", err
	}
	err = p.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		x, c, err := p.find(ctx, tx, ticket, stateAsked)
		if err != nil {
			return err
		}
		if x.Env != env || !c.Terms.Screen {
			return errGone
		}
		x.Phone = &phone{Code: fmt.Sprintf("%06d", n), Device: short(by.UserAgent), At: p.cfg.Now()}
		secret, err = p.save(ctx, tx, &x, stateClaimed, 0)
		return err
	})
	return secret, gone(err)
}

// gone says that a ticket leads nowhere, where it does not.
func gone(err error) error {
	if errors.Is(err, errGone) || errors.Is(err, store.ErrNotFound) {
		return ErrTicket
	}
	return err
}

// Read returns what a phone is told. ErrTicket says that nothing waits for it.
func (p *Provider) Read(ctx context.Context, env, secret string) (Reading, error) {
	var r Reading
	err := p.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		x, c, err := p.held(ctx, tx, env, secret)
		if err == nil {
			r = Reading{c.Settings.Name, x.Device, x.CreatedAt, x.Phone.Code, x.State == stateAgreed, x.ExpiresAt}
		}
		return err
	})
	return r, gone(err)
}

// held returns the exchange that a phone waits for.
func (p *Provider) held(ctx context.Context, tx *store.Tx, env, secret string) (exchange, party.Party, error) {
	x, c, err := p.find(ctx, tx, secret, stateClaimed)
	if errors.Is(err, errGone) {
		x, c, err = p.find(ctx, tx, secret, stateAgreed)
	}
	if err == nil && (x.Env != env || x.Phone == nil) {
		err = errGone
	}
	return x, c, err
}

// GoOn begins on the phone the proof that is asked for, once its code was typed.
func (p *Provider) GoOn(ctx context.Context, env, secret, lang string, by recovery.Client) (Opened, error) {
	return p.open(ctx, env, secret, stateAgreed, lang, by)
}

// Disown ends, for whoever has read the picture, what somebody else began.
func (p *Provider) Disown(ctx context.Context, env, secret string) error {
	err := p.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		x, c, err := p.held(ctx, tx, env, secret)
		if err != nil {
			return err
		}
		p.cfg.Log.WarnContext(ctx, "whoever read a picture did not begin the sign-in", "client", c.ID, "exchange", x.ID)
		return p.decline(ctx, tx, &x)
	})
	return gone(err)
}

// decline answers that nothing was proven; the browser that began hands it on.
func (p *Provider) decline(ctx context.Context, tx *store.Tx, x *exchange) error {
	if x.State == stateProving && x.Use != "" && p.cfg.People != nil {
		if err := p.cfg.People.StopFor(ctx, tx, x.Env, x.Use); err != nil {
			return err
		}
	}
	x.Answer, x.Declined = &answer{Error: "access_denied", At: p.cfg.Now()}, true
	_, err := p.save(ctx, tx, x, stateAnswered, answerLife)
	return err
}

// shared reports whether the browser that began hands the answer on, and not the one that
// proved.
func (x exchange) shared() bool { return x.Phone != nil || x.Declined }

// typed takes the code that was typed where the picture is. After too many wrong ones
// the phone is turned away.
func (p *Provider) typed(ctx context.Context, tx *store.Tx, x *exchange, browser, code string) (right bool, err error) {
	if x.State != stateClaimed {
		return false, errGone
	}
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, code)
	if same(digits, x.Phone.Code) {
		x.State = stateAgreed
		return true, p.keep(ctx, tx, x)
	}
	reader := *x.Phone // the caller's may be written again
	if reader.Wrong++; reader.Wrong >= maxTyped {
		return false, p.turnAway(ctx, tx, x, browser)
	}
	x.Phone = &reader
	return false, p.keep(ctx, tx, x)
}

// turnAway shows another picture in place of the one that a phone has read.
func (p *Provider) turnAway(ctx context.Context, tx *store.Tx, x *exchange, browser string) error {
	if x.Turn++; x.Turn >= maxTurns {
		return p.decline(ctx, tx, x)
	}
	return p.show(ctx, tx, x, browser)
}
