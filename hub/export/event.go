package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/postern-id/postern/hub/audit"
)

// maxEvent bounds one event as it is read, in bytes: a leaf has at most 32 KiB, and what
// was decrypted comes on top.
const maxEvent = 128 << 10

// An Event is an event of the audit log as the public API shows it.
type Event struct {
	ID        string          `json:"id"`
	Time      time.Time       `json:"time"`
	Kind      audit.Kind      `json:"kind"`
	Trace     string          `json:"trace"`
	Org       string          `json:"org"`
	Env       string          `json:"env"`
	Account   string          `json:"account"`
	Remote    string          `json:"remote_addr"`
	UserAgent string          `json:"user_agent"`
	Principal audit.Principal `json:"principal"`

	raw []byte // all of it: JSON on one line, of printable ASCII
}

// Parse reads an event of GET /api/audit.
func Parse(raw []byte) (Event, error) {
	var e Event
	if len(raw) > maxEvent {
		return e, fmt.Errorf("export: an event of %d bytes; at most %d are read", len(raw), maxEvent)
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, fmt.Errorf("export: not an event: %w", err)
	}
	if raw = bytes.TrimSpace(raw); raw[0] != '{' || e.ID == "" || e.Kind == "" || e.Time.IsZero() {
		return e, errors.New("export: not an event: it lacks id, kind or time")
	}
	var line bytes.Buffer
	if err := json.Compact(&line, raw); err != nil {
		return e, err
	}
	e.raw = ascii(line.Bytes())
	return e, nil
}

// ascii returns the same JSON with everything escaped that is not printable ASCII. That
// stands in strings only, so that the value stays what it is; no reader of lines or of
// fields finds an end in it.
func ascii(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		switch {
		case r >= ' ' && r < 0x7f:
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// brief is the event without its detail, for formats that have no room for all of it.
func (e Event) brief() Event {
	short := struct {
		ID        string          `json:"id"`
		Time      time.Time       `json:"time"`
		Kind      audit.Kind      `json:"kind"`
		Trace     string          `json:"trace"`
		Truncated bool            `json:"truncated"`
		Remote    string          `json:"remote_addr,omitempty"`
		UserAgent string          `json:"user_agent,omitempty"`
		Org       string          `json:"org"`
		Env       string          `json:"env,omitempty"`
		Account   string          `json:"account,omitempty"`
		Principal audit.Principal `json:"principal,omitzero"`
	}{e.ID, e.Time, e.Kind, e.Trace, true, e.Remote, e.UserAgent, e.Org, e.Env, e.Account, e.Principal}
	if b, err := json.Marshal(short); err == nil { // nothing in it cannot be written
		e.raw = ascii(b)
	}
	return e
}

// actor is who acted, in words of the log: "key 5f0c…".
func (e Event) actor() (kind, id string) {
	p := e.Principal
	for _, who := range [][2]string{{"member", p.OrgMember}, {"key", p.APIKey}, {"agent", p.Agent}, {"system", p.System}, {"subject", p.Subject}, {"role", p.Role}} {
		if who[1] != "" {
			return who[0], who[1]
		}
	}
	return "", ""
}
