package evidence

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-id/postern/protocol"
)

// Bounds of what comes from a browser.
const (
	maxAssertion    = 16 << 10 // an RSA signature, a client data text and a few extensions
	maxClientData   = 4 << 10
	maxAuthData     = 2 << 10
	maxCredentialID = 1023 // WebAuthn Level 3, section 5.8.6
	maxApprover     = 256
)

// ErrNotVerified says that the authenticator did not make sure who was there.
var ErrNotVerified = errors.New("evidence: the person was not verified by the authenticator")

// ParseAssertion reads the JSON form within its bounds. It checks no signature.
func ParseAssertion(raw []byte) (Assertion, error) {
	var s Assertion
	if err := strictJSON(raw, maxAssertion, &s); err != nil {
		return Assertion{}, fmt.Errorf("%w: assertion: %w", ErrFormat, err)
	}
	if len(s.Credential) == 0 || len(s.Credential) > maxCredentialID || len(s.Approver) > maxApprover {
		return Assertion{}, fmt.Errorf("%w: credential id or approver of a wrong length", ErrFormat)
	}
	return s, nil
}

// CheckPasskey verifies an assertion over challenge: by exactly this credential, at an
// origin of a whose host is exactly the credential's RP id, with the person present and
// verified by the authenticator (T2). Subdomains and related origins do not count.
func CheckPasskey(raw []byte, cred Credential, challenge [32]byte, a Anchors) error {
	s, err := ParseAssertion(raw)
	if err != nil {
		return err
	}
	if s.Approver != "" {
		return fmt.Errorf("%w: it is an approval", ErrRefused)
	}
	return s.check(cred, challenge, a)
}

// CheckApproval verifies an approver's assertion over the approval challenge of c and
// of the approver that it names, and returns that approver. Which credential belongs to
// whom is known to the caller alone: cred is asked for by approver and credential id (T7).
func CheckApproval(raw []byte, c protocol.Context, a Anchors, cred func(approver string, id []byte) (Credential, bool)) (string, error) {
	s, err := ParseAssertion(raw)
	if err != nil {
		return "", err
	}
	if s.Approver == "" {
		return "", fmt.Errorf("%w: it names no approver", ErrRefused)
	}
	of, known := cred(s.Approver, s.Credential)
	if !known {
		return "", fmt.Errorf("%w: not a key of this approver", ErrUntrusted)
	}
	return s.Approver, s.check(of, ApprovalChallenge(c, s.Approver), a)
}

func (s Assertion) check(cred Credential, challenge [32]byte, a Anchors) error {
	if subtle.ConstantTimeCompare(s.Credential, cred.ID) != 1 {
		return fmt.Errorf("%w: another credential", ErrUntrusted)
	}
	if err := checkClientData(s.ClientData, "webauthn.get", challenge, cred.RPID, a); err != nil {
		return err
	}
	d, err := parseAuthData(s.AuthenticatorData)
	if err != nil {
		return err
	}
	if d.attested != nil {
		return fmt.Errorf("%w: an assertion bears no new credential", ErrFormat)
	}
	if err := d.check(cred.RPID); err != nil {
		return err
	}
	key, err := parseCOSEKey(cred.PublicKey)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(s.ClientData)
	if !key.verify(slices.Concat(s.AuthenticatorData, hash[:]), s.Signature) {
		return fmt.Errorf("%w: of the passkey", ErrSignature)
	}
	return nil
}

// checkClientData compares what the browser wrote down with what is expected. Member
// names are compared exactly, which encoding/json alone would not do.
func checkClientData(text []byte, kind string, challenge [32]byte, rpID string, a Anchors) error {
	if len(text) > maxClientData {
		return fmt.Errorf("%w: client data of %d bytes", ErrFormat, len(text))
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("%w: client data: %w", ErrFormat, err)
	}
	if textOf(m["type"]) != kind {
		return fmt.Errorf("%w: another ceremony", ErrContext)
	}
	want := base64.RawURLEncoding.EncodeToString(challenge[:])
	if subtle.ConstantTimeCompare([]byte(textOf(m["challenge"])), []byte(want)) != 1 {
		return fmt.Errorf("%w: another challenge", ErrContext)
	}
	origin := textOf(m["origin"])
	if !slices.Contains(a.Origins, origin) || RPID(origin) != rpID || rpID == "" {
		return fmt.Errorf("%w: another origin or RP id", ErrContext)
	}
	if cross, ok := m["crossOrigin"]; ok && string(cross) != "false" || m["topOrigin"] != nil {
		return fmt.Errorf("%w: in a frame of another site", ErrContext)
	}
	return nil
}

// textOf returns a JSON text, "" for anything else.
func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// RPID returns the RP id of an origin: its host exactly, without the port. It is "" for
// what is not an https origin; http is one at localhost and below alone, which browsers call secure.
func RPID(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin {
		return ""
	}
	if u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost" && !strings.HasSuffix(u.Hostname(), ".localhost")) {
		return ""
	}
	return u.Hostname()
}

// strictJSON reads one object of known members and nothing after it.
func strictJSON(raw []byte, limit int, v any) error {
	if len(raw) > limit {
		return fmt.Errorf("%d bytes; at most %d", len(raw), limit)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.InputOffset() != int64(len(bytes.TrimRight(raw, " \t\r\n"))) {
		return errors.New("something after the object")
	}
	return nil
}
