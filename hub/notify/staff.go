package notify

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// A Staff is a mail to somebody who works for the organisation or vouches for others.
type Staff struct {
	Env, To string
	Words   string // of the catalogue: mail.WORDS.subject and mail.WORDS.body
	Name    string // who gets it
	Who, By string // whom it is about, and who did something
	Origin  string // of the recovery site
	Console string // origin of the console, as it was configured; links lead there in place of the site
	Path    string // of the page that a link leads to
	Token   protocol.Secret
	Until   time.Time
	// Language is that in which they read pages here; "": the organisation's.
	Language string
}

// QueueStaff is Queue for one person. The secret of its link stands in the fragment: no
// server and no log sees it, and programs that look behind links use nothing up.
func (n *Notifier) QueueStaff(ctx context.Context, tx *store.Tx, s Staff) error {
	if !deliverable(s.To) {
		return ErrNoAddress
	}
	p, err := placeOf(ctx, tx, s.Env, s.Origin, s.Language)
	if s.Console != "" && (err == nil || errors.Is(err, ErrNoDomain)) { // its link needs no recovery site
		p.origin, err = s.Console, nil
	}
	if err != nil {
		return err
	}
	l := p.language
	body := l.Text("mail."+s.Words+".body", "name", oneLine(s.Name), "who", oneLine(s.Who), "account", oneLine(s.Who), "by", oneLine(s.By), "site", p.host,
		"company", p.company, "link", p.origin+s.Path+"#"+s.Token.Reveal(), "until", s.Until.UTC())
	letter, err := json.Marshal(newLetter(l, s.To, l.Text("mail."+s.Words+".subject", "company", p.company), body))
	if err != nil {
		return err
	}
	return tx.AddMail(ctx, s.Env, letter, n.now().Add(keepTrying))
}
