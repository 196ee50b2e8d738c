package webhook

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/postern-id/postern/hub/store"
)

// MaxWebhooks bounds the webhooks of an environment: each event goes to all of them.
const MaxWebhooks = 32

// maxText bounds an address and an Authorization header, in bytes.
const maxText = 2000

// Wrong says what is wrong with a definition.
type Wrong struct {
	Field string // as the API spells it
	Text  string
}

// Error implements error.
func (w *Wrong) Error() string { return "webhook: " + w.Field + ": " + w.Text }

// Define returns a definition as it is kept, or a *Wrong for what cannot be delivered. Where
// addresses lead is checked when they are dialled, each time.
func Define(w store.Webhook) (store.Webhook, error) {
	if _, err := CheckURL(w.URL); err != nil || len(w.URL) > maxText {
		return w, &Wrong{"url", "want an https address without a password or a fragment in it"}
	}
	if strings.ContainsFunc(w.Authorization, unicode.IsControl) || len(w.Authorization) > maxText {
		return w, &Wrong{"authorization_header", "want one line"}
	}
	events := []string{}
	for _, name := range w.Events {
		e, known := KnownEvent(name)
		if !known {
			return w, &Wrong{"events", fmt.Sprintf("%.40q is none of %s", name, strings.Join(EventNames(), ", "))}
		}
		if !slices.Contains(events, string(e)) {
			events = append(events, string(e))
		}
	}
	w.Events = events
	return w, nil
}

// EventNames lists what can be subscribed to, by name.
func EventNames() []string {
	names := make([]string, 0, len(Events))
	for _, e := range Events {
		names = append(names, string(e))
	}
	slices.Sort(names)
	return names
}

// MayDefine reports whether somebody of a role may make, change or remove a definition; the
// zero value stands for none. The audit log is for owners: others neither have it told, nor
// change, switch off or remove what tells it, or they could act unheard (T18).
func MayDefine(role string, before, now store.Webhook) bool {
	return !tellsTheLog(before) && !tellsTheLog(now) || store.AtLeast(role, store.RoleOwner)
}

// MayChangeSecret reports whether somebody of a role may make another secret for signatures,
// or end the former one, where these webhooks are signed under it. A receiver of the audit
// log that knows only the secret before refuses what it is told, so this is for owners, as
// switching it off is (T18).
func MayChangeSecret(role string, signed []store.Webhook) bool {
	return !slices.ContainsFunc(signed, tellsTheLog) || store.AtLeast(role, store.RoleOwner)
}

func tellsTheLog(w store.Webhook) bool { return slices.Contains(w.Events, string(Audit)) }

// SameReceiver reports whether two addresses are of one host and port by the same scheme: a
// header that one is sent is no news to the other.
func SameReceiver(a, b string) bool {
	u, err := url.Parse(a)
	if err != nil {
		return false
	}
	w, err := url.Parse(b)
	return err == nil && u.Scheme == w.Scheme && strings.EqualFold(u.Host, w.Host)
}
