package notify

import (
	"context"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A Factor is a mail about a change of what somebody recovers with.
type Factor struct {
	Env      string
	Account  string            // name
	Contacts protocol.Contacts // every address that the owner had until the change
	Change   string            // added, removed or used
	Kind     string            // of the factor: passkey …
	Name     string            // that its owner gave it; "" if none
	Counts   time.Time         // added: from when on it counts
	At       time.Time
	Client   string // IP address of the browser
	Device   string // its User-Agent
	Language string // BCP 47; that of Contacts wins
	Origin   string // of the recovery site
	Token    protocol.Secret
	Until    time.Time // how long the token works
}

// QueueFactor is Queue for a change of what somebody recovers with.
func (n *Notifier) QueueFactor(ctx context.Context, tx *store.Tx, f Factor) error {
	return n.queue(ctx, tx, f.Env, f.Origin, f.Language, f.Contacts, func(p place, to string) letter { return factorLetter(p, to, f) })
}

func factorLetter(p place, to string, f Factor) letter {
	l := p.language
	kind := l.Text("mail.factor.kind." + f.Kind)
	if name := oneLine(f.Name); name != "" {
		kind = l.Text("mail.factor.named", "kind", kind, "name", name)
	}
	what := l.Text("mail.factor.what."+f.Change, "account", oneLine(f.Account), "kind", kind, "counts", f.Counts.UTC(), "site", p.host)
	body := l.Text("mail.notice.body", "what", what, "at", f.At.UTC(), "device", l.Device(f.Device), "address", oneLine(f.Client),
		"site", p.host, "company", p.company, "link", p.link(f.Token), "until", f.Until.UTC())
	return newLetter(l, to, l.Text("mail.factor.subject."+f.Change, "company", p.company), body)
}
