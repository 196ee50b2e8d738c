package protocol

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// A Ticket lets one agent enrol, once, within an hour. It pins the hub's keys, so
// that enrolment needs no trust in the network between.
type Ticket struct {
	Hub       string    `json:"hub"`      // https address of the control host
	HubName   string    `json:"hub_name"` // its host, part of the Noise prologue
	HubKey    []byte    `json:"hub_key"`  // static X25519 public key
	LogKey    []byte    `json:"log_key"`  // SHA-256 of the audit log's public key
	Directory string    `json:"directory"`
	Secret    string    `json:"secret"`
	Expires   time.Time `json:"expires"`
}

// ticketPrefix lets people and secret scanners recognise a ticket.
const ticketPrefix = "postern-ticket-1."

// maxTicket bounds the text of a ticket.
const maxTicket = 4096

// Encode returns the text of the ticket. It holds a secret.
func (t Ticket) Encode() Secret {
	js, _ := json.Marshal(t) // strings, bytes and a time always marshal
	return NewSecret(ticketPrefix + base64.RawURLEncoding.EncodeToString(js))
}

// ErrTicket is wrapped by every refusal of ParseTicket.
var ErrTicket = errors.New("protocol: not a ticket")

// ParseTicket reads the text of a ticket, with white space around it. Its errors
// never hold the text.
func ParseTicket(text string) (Ticket, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxTicket {
		return Ticket{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTicket, len(text), maxTicket)
	}
	rest, ok := strings.CutPrefix(text, ticketPrefix)
	if !ok {
		return Ticket{}, fmt.Errorf("%w: it does not begin with %q", ErrTicket, ticketPrefix)
	}
	js, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil {
		return Ticket{}, fmt.Errorf("%w: it was cut or changed", ErrTicket)
	}
	var t Ticket
	if err := json.Unmarshal(js, &t); err != nil {
		return Ticket{}, fmt.Errorf("%w: it was cut or changed", ErrTicket)
	}
	return t, t.check()
}

func (t Ticket) check() error {
	u, err := url.Parse(t.Hub)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return fmt.Errorf("%w: hub address", ErrTicket)
	case len(t.HubKey) != 32:
		return fmt.Errorf("%w: hub key", ErrTicket)
	case len(t.LogKey) != 32:
		return fmt.Errorf("%w: key of the audit log", ErrTicket)
	case t.HubName == "" || t.Directory == "" || t.Secret == "":
		return fmt.Errorf("%w: a member is empty", ErrTicket)
	}
	return nil
}
