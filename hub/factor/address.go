package factor

import (
	"context"
	"encoding/json"
	"errors"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/totp"
	"github.com/postern-id/postern/protocol"
)

// Numbers of the confirmation of an address.
const (
	codeLife     = 10 * time.Minute // NIST SP 800-63B-4, section 4.2.1.2
	codeTries    = 5
	sendsPerHour = 3 // of one owner, and to one address: nobody's mailbox or phone is flooded
)

// waiting is what the factor of an address keeps until its code was typed.
type waiting struct {
	Address string    `json:"address"`
	Hash    string    `json:"hash"` // keyed; never the code
	Until   time.Time `json:"until"`
}

// codePurpose is the purpose for which the store derives the keys of these hashes and of
// the counters of addresses.
const codePurpose = "postern/factor/code/v1"

func (f *Factors) keys() [][]byte { return f.cfg.Store.DeriveKeys(codePurpose) }

// AddAddress sends a code to a mail address or phone. The address counts when the code
// was typed and the wait is over.
func (f *Factors) AddAddress(ctx context.Context, o Owner, kind, typed string) (id string, err error) {
	sender, address, err := f.route(o, kind, typed)
	if err != nil {
		return "", err
	}
	code := verify.NewCode()
	w := waiting{Address: address, Until: f.cfg.Store.Now().Add(codeLife)}
	w.Hash = verify.Keyed(f.keys()[0], o.Verification, address, code)
	if err := f.countSend(ctx, o, address); err != nil {
		return "", err
	}
	secret, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	if id, err = f.begin(ctx, o, kind, "", secret); err != nil {
		return "", err
	}
	return id, sender.SendCode(ctx, Message{Env: o.Env, To: address, Account: o.Directory + "/" + o.Account, Client: o.ClientAddress, Language: o.Language, Origin: o.Origin, Code: protocol.NewSecret(code), Until: w.Until})
}

// route returns by what a code goes to an address, in the form in which it is kept.
func (f *Factors) route(o Owner, kind, typed string) (Sender, string, error) {
	switch kind {
	case Mail:
		address, ok := mailAddress(typed)
		if !ok {
			return nil, "", ErrAddress
		}
		if slices.ContainsFunc(slices.Concat(o.Identifiers, o.Contacts.Primary), func(a string) bool { return strings.EqualFold(a, address) }) {
			return nil, "", ErrOwn
		}
		return f.cfg.Mail, address, nil
	case Phone:
		number, ok := PhoneNumber(typed)
		if !ok || f.cfg.SMS == nil {
			return nil, "", ErrAddress
		}
		return f.cfg.SMS, number, nil
	}
	return nil, "", ErrAddress
}

// maxMail bounds a mail address (RFC 5321, section 4.5.3.1.3).
const maxMail = 254

func mailAddress(typed string) (string, bool) {
	typed = strings.TrimSpace(typed)
	a, err := mail.ParseAddress("<" + typed + ">")
	if err != nil || a.Address != typed || len(typed) > maxMail || strings.ContainsAny(typed, "\"\\ ") {
		return "", false
	}
	return typed, true
}

// Digits of a phone number with its country (E.164).
const (
	minPhone = 8
	maxPhone = 15
)

// PhoneNumber reads an international number as people type it: "+49 30 1234-567".
func PhoneNumber(typed string) (string, bool) {
	if len(typed) > 4*maxPhone {
		return "", false
	}
	n := strings.NewReplacer(" ", "", "-", "", "/", "", "(", "", ")", "", ".", "", "\u00a0", "").Replace(typed)
	if strings.HasPrefix(n, "00") {
		n = "+" + n[2:]
	}
	digits, plus := strings.CutPrefix(n, "+")
	if !plus || len(digits) < minPhone || len(digits) > maxPhone || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return "", false
	}
	return n, true
}

// countSend counts a code before it is sent.
func (f *Factors) countSend(ctx context.Context, o Owner, address string) error {
	subjects := []string{"factor:" + o.Directory + "/" + o.Account, "factor-to:" + verify.Keyed(f.keys()[0], address)}
	return f.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		for _, s := range subjects {
			n, _, err := tx.CodeSends(ctx, o.Env, s, tx.Now().Add(-time.Hour))
			if err != nil {
				return err
			}
			if n >= sendsPerHour {
				return ErrTooMany
			}
			if err := tx.AddCodeSend(ctx, o.Env, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// Confirm takes the first code of an app, or the code that was sent to an address. Every
// try is counted before it is judged.
func (f *Factors) Confirm(ctx context.Context, o Owner, id, label, code string) error {
	var row store.Factor
	err := f.cfg.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if row, err = own(ctx, tx, o, id); err != nil {
			return err
		}
		if err := tx.TryFactor(ctx, o.Env, id, codeTries); errors.Is(err, store.ErrConflict) {
			return ErrTooMany
		} else if err != nil {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !f.proves(o, &row, code) {
		return ErrWrong
	}
	row.Label = Label(label)
	err = f.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return f.confirmed(ctx, tx, o, row) })
	if err == nil {
		f.cfg.Notices.Wake()
	}
	return err
}

// proves judges a code, and makes row what it is once confirmed.
func (f *Factors) proves(o Owner, row *store.Factor, code string) bool {
	switch row.Kind {
	case TOTP:
		step, ok := totp.Match(string(row.Secret), code, f.cfg.Store.Now())
		row.LastStep = step
		return ok
	case Mail, Phone:
		var w waiting
		typed := verify.CleanCode(code)
		if json.Unmarshal(row.Secret, &w) != nil || typed == "" || !w.Until.After(f.cfg.Store.Now()) {
			return false
		}
		right := verify.KeyedIs(w.Hash, f.keys(), o.Verification, w.Address, typed)
		row.Secret = []byte(w.Address)
		return right
	}
	return false
}

// mask shortens an address for its owner's eyes.
func mask(kind, address string) string {
	if kind == Mail {
		return verify.Mask(address)
	}
	_, size := utf8.DecodeLastRuneInString(address)
	if len(address) < 4 || size == 0 {
		return "•••"
	}
	return "•••" + address[len(address)-2:]
}
