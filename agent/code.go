package agent

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"
	"net/mail"
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
func (m *mailer) codeMAC(recovery, code string) []byte {
	h := hmac.New(sha256.New, m.codeKey)
	_, _ = fmt.Fprintf(h, "%d:%s:%s", len(recovery), recovery, code)
	return h.Sum(nil)
}

// sendCode makes a code for one recovery and sends it to the addresses that the
// directory has now. A new code ends the one before.
func (s *service) sendCode(ctx context.Context, q protocol.SendCodeRequest, e *event) (any, error) {
	r, err := s.open(q.Recovery, 0, e)
	if err != nil {
		return nil, err
	}
	if s.mail == nil {
		return nil, protocol.Err(protocol.CodeUnsupported, "the agent has no mail route; its file has no table [smtp]")
	}
	release, err := s.locks.take(ctx, r.Account)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := s.mayTypeCodes(r.ID, true); err != nil {
		return nil, err
	}
	to, err := s.mailboxes(ctx, r.Account)
	if err != nil {
		return nil, err
	}
	return s.sendTo(ctx, r, to, q.Language)
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

// mailboxes are the addresses of an account other than those that are being recovered.
func (s *service) mailboxes(ctx context.Context, account string) ([]string, error) {
	c, err := s.dir.Contacts(ctx, account)
	if err != nil {
		return nil, asError(err)
	}
	var to []string
	for _, text := range c.Mail {
		if a, err := mail.ParseAddress(text); err == nil && len(to) < codeMailboxes {
			to = append(to, a.Address)
		}
	}
	if len(to) == 0 {
		return nil, protocol.Err(protocol.CodeUnsupportedAccountState, "the account has no other mail address")
	}
	return to, nil
}

func (s *service) sendTo(ctx context.Context, r journal.Recovery, to []string, language string) (any, error) {
	code, err := newCode()
	if err != nil {
		return nil, err
	}
	expires := s.now().Add(codeLife)
	if limit := time.Unix(r.NotAfter, 0); expires.After(limit) {
		expires = limit
	}
	// Journal first: a code that nobody counted must not be in a mailbox.
	err = s.journal.CodeSent(journal.Code{Recovery: r.ID, MAC: s.mail.codeMAC(r.ID, code.Reveal()), Expires: expires.Unix()})
	if err != nil {
		return nil, journalError(err)
	}
	if err := s.mail.sendCode(ctx, to, code, r.Origin, language, expires); err != nil {
		s.log.Error("code cannot be sent", "error", withoutAddresses(err.Error()))
		return nil, protocol.Err(protocol.CodeUnavailable, "the agent's mail server did not take the code; look at the agent's log")
	}
	masked := make([]string, len(to))
	for i, a := range to {
		masked[i] = maskMail(a)
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
	r, err := s.open(q.Recovery, 0, e)
	if err != nil {
		return nil, err
	}
	if s.mail == nil {
		return nil, protocol.Err(protocol.CodeUnsupported, "the agent has no mail route; its file has no table [smtp]")
	}
	release, err := s.locks.take(ctx, r.Account)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := s.mayTypeCodes(r.ID, false); err != nil {
		return nil, err
	}
	return s.tryCode(r, q.Code)
}

// tryCode counts one try at the current code. The caller holds the account.
func (s *service) tryCode(r journal.Recovery, typed string) (any, error) {
	st, err := s.journal.CodeState(r.ID)
	switch {
	case err != nil:
		return nil, journalError(err)
	case st.Code == nil || st.Tries >= codeTries:
		return protocol.CheckedCode{}, nil
	case s.now().Unix() > st.Code.Expires:
		return nil, protocol.Err(protocol.CodeExpired, "the code is too old; ask for a new one")
	}
	right := hmac.Equal(s.mail.codeMAC(r.ID, typed), st.Code.MAC)
	if err := s.journal.CodeTried(journal.Try{Recovery: r.ID, OK: right}); err != nil {
		return nil, journalError(err)
	}
	if right {
		return protocol.CheckedCode{OK: true, Tries: codeTries - st.Tries}, nil
	}
	return protocol.CheckedCode{Tries: codeTries - st.Tries - 1}, nil
}
