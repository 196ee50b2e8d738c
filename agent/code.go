package agent

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"
	"time"

	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/protocol"
)

// Numbers of codes that the agent makes, sends and checks itself.
const (
	codeDigits       = 8
	codeTries        = 5                // at one code
	codeSends        = 3                // per account and hour
	codeFailedPerDay = 10               // wrong codes per account and day
	codeLife         = 15 * time.Minute // mail may be slow; a recovery is not longer unless people are asked
	codeMailboxes    = 5                // addresses that one code is sent to
)

// codeKeyInfo separates the key of the codes' hashes from the other uses of the agent's key.
const codeKeyInfo = "postern/agent-code/v1"

// codeKey derives the key of the codes' hashes: who reads the journal alone cannot
// try all hundred million codes.
func codeKey(k keys) ([]byte, error) {
	return hkdf.Key(sha256.New, k.sign.Seed(), nil, codeKeyInfo, sha256.Size)
}

// codeMAC binds a code to its recovery.
func (s *service) codeMAC(recovery, code string) []byte {
	h := hmac.New(sha256.New, s.codeKey)
	_, _ = fmt.Fprintf(h, "%d:%s:%s", len(recovery), recovery, code)
	return h.Sum(nil)
}

// codesOf returns a recovery whose owner may be sent a code, or may type one, with its
// account locked. Without an error the caller calls release.
func (s *service) codesOf(ctx context.Context, id string, sending bool, e *event) (r journal.Recovery, release func(), err error) {
	if r, err = s.open(id, 0, e); err != nil {
		return r, nil, err
	}
	if !s.sendsCodes() {
		return r, nil, protocol.Err(protocol.CodeUnsupported, "the agent has no route for codes; its file has neither a table [smtp] nor [sms]")
	}
	if release, err = s.locks.take(ctx, r.Account); err != nil {
		return r, nil, err
	}
	if err = s.mayTypeCodes(r.ID, sending); err != nil {
		release()
		return r, nil, err
	}
	return r, release, nil
}

// sendCode makes a code for one recovery and sends it to the addresses that the
// directory has now. A new code ends the one before.
func (s *service) sendCode(ctx context.Context, q protocol.SendCodeRequest, e *event) (any, error) {
	if why := s.stopped(); why != nil {
		return nil, why
	}
	r, release, err := s.codesOf(ctx, q.Recovery, true, e)
	if err != nil {
		return nil, err
	}
	defer release()
	k, err := s.addressee(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.sendTo(ctx, r, k, q.Language)
}

// addressee is whose code it is, with the addresses that it goes to: other than those
// that are being recovered and, of a strict account, none that is new (T16).
func (s *service) addressee(ctx context.Context, r journal.Recovery) (claimant, error) {
	facts, err := s.dir.Facts(ctx, r.Account)
	if err != nil {
		return claimant{}, asError(err)
	}
	tasks, err := parseTasks(r.Operation)
	if err != nil {
		return claimant{}, err
	}
	k, err := s.claimant(ctx, facts, tasks)
	if err != nil {
		return k, err
	}
	if !k.terms.Strict {
		if k.contacts, err = s.dir.Contacts(ctx, r.Account); err != nil {
			return k, asError(err)
		}
		k.mailboxes, k.phones = plainMail(k.contacts.Mail), s.sms.numbers(k.contacts.Phone)
	}
	if mailboxes, phones := s.codeGoesTo(k); len(mailboxes)+len(phones) == 0 {
		return k, protocol.Err(protocol.CodeUnsupportedAccountState, "the account has no other mail address, and no phone, that counts and that the agent sends codes to")
	}
	return k, nil
}

// sendsCodes reports whether the agent has a route for codes that the hub never sees.
func (s *service) sendsCodes() bool { return s.mail != nil || s.sms != nil }

// codeGoesTo are the addresses or the numbers that a code goes to: one channel alone,
// since a code that comes by two is as weak as the weaker of them.
func (s *service) codeGoesTo(k claimant) (mailboxes, phones []string) {
	if s.mail != nil {
		mailboxes = k.mailboxes
	}
	if s.sms != nil && len(k.phones) > 0 && (s.sms.cfg.Prefer || len(mailboxes) == 0) {
		return nil, k.phones
	}
	return mailboxes, nil
}

// deliverCode sends a code, and says where it went.
func (s *service) deliverCode(ctx context.Context, k claimant, text codeText) ([]string, error) {
	var masked []string
	mailboxes, phones := s.codeGoesTo(k)
	for _, a := range mailboxes {
		masked = append(masked, maskMail(a))
	}
	for _, n := range phones {
		masked = append(masked, maskPhone(n))
	}
	if len(phones) > 0 {
		return masked, s.sms.sendCode(ctx, phones, text)
	}
	return masked, s.mail.sendCode(ctx, mailboxes, text)
}

// mayTypeCodes refuses when the limits of the account are used up.
func (s *service) mayTypeCodes(recovery string, sending bool) error {
	st, err := s.journal.CodeState(recovery)
	switch {
	case err != nil:
		return journalError(err)
	case sending && st.Sends >= codeSends:
		return protocol.Err(protocol.CodeRateLimited, fmt.Sprintf("%d codes were sent to the account within an hour", st.Sends))
	case st.Failed >= codeFailedPerDay:
		return protocol.Err(protocol.CodeRateLimited, fmt.Sprintf("%d wrong codes were typed for the account within a day", st.Failed))
	}
	return nil
}

func (s *service) sendTo(ctx context.Context, r journal.Recovery, k claimant, language string) (any, error) {
	code, err := newCode()
	if err != nil {
		return nil, err
	}
	expires := s.now().Add(codeLife)
	if limit := time.Unix(r.NotAfter, 0); expires.After(limit) {
		expires = limit
	}
	// Journal first: a code that nobody counted must not be in a mailbox.
	err = s.journal.CodeSent(journal.Code{Recovery: r.ID, MAC: s.codeMAC(r.ID, code.Reveal()), Expires: expires.Unix()})
	if err != nil {
		return nil, journalError(err)
	}
	text := codeText{code: code, origin: r.Origin, language: language, expires: expires}
	if k.terms.Strict { // T1: the owner reads from the agent itself what it is for
		text.account, text.operation = accountName(k), r.Operation
	}
	masked, err := s.deliverCode(ctx, k, text)
	if err != nil {
		s.log.Error("code cannot be sent", "error", withoutAddresses(err.Error()))
		return nil, protocol.Err(protocol.CodeUnavailable, "the agent's mail server, or its service for text messages, did not take the code; look at the agent's log")
	}
	return protocol.SentCode{Masked: masked}, nil
}

// newCode draws eight digits, every one of the hundred million equally likely.
func newCode() (protocol.Secret, error) {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(codeDigits), nil)
	n, err := rand.Int(rand.Reader, limit)
	if err != nil {
		return protocol.Secret{}, err
	}
	return protocol.NewSecret(fmt.Sprintf("%0*d", codeDigits, n)), nil
}

// checkCode compares what was typed. The try is on the disk before anybody hears of it.
func (s *service) checkCode(ctx context.Context, q protocol.CheckCodeRequest, e *event) (any, error) {
	r, release, err := s.codesOf(ctx, q.Recovery, false, e)
	if err != nil {
		return nil, err
	}
	defer release()
	c, err := s.tryCode(r, q.Code)
	if err == nil && c.OK {
		s.tellApprovers(ctx, r)
	}
	return c, err
}

// tellApprovers tells those who may be asked to approve what the owner has just
// confirmed to the agent (T1, T7). Nobody is told before: whoever types an address
// could else write to all of them.
func (s *service) tellApprovers(ctx context.Context, r journal.Recovery) {
	facts, err := s.dir.Facts(ctx, r.Account)
	if err != nil {
		return
	}
	tasks, err := parseTasks(r.Operation)
	if err != nil {
		return
	}
	k, err := s.claimant(ctx, facts, tasks)
	if err == nil && k.terms.Confirm && len(k.approvers) > 0 {
		s.announce(ctx, noteAsked, r, k, s.now())
	}
}

// tryCode counts one try at the current code. The caller holds the account.
func (s *service) tryCode(r journal.Recovery, typed string) (protocol.CheckedCode, error) {
	st, err := s.journal.CodeState(r.ID)
	switch {
	case err != nil:
		return protocol.CheckedCode{}, journalError(err)
	case st.Code == nil || st.Tries >= codeTries:
		return protocol.CheckedCode{}, nil
	case s.now().Unix() > st.Code.Expires:
		return protocol.CheckedCode{}, protocol.Err(protocol.CodeExpired, "the code is too old; ask for a new one")
	}
	right := hmac.Equal(s.codeMAC(r.ID, typed), st.Code.MAC)
	if err := s.journal.CodeTried(journal.Try{Recovery: r.ID, OK: right}); err != nil {
		return protocol.CheckedCode{}, journalError(err)
	}
	if right {
		return protocol.CheckedCode{OK: true, Tries: codeTries - st.Tries}, nil
	}
	return protocol.CheckedCode{Tries: codeTries - st.Tries - 1}, nil
}
