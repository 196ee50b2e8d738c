package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// A note is what the agent itself tells people of a strict account.
type note int

const (
	noteAsked    note = iota // to approvers: somebody asks for it, and the owner confirmed
	noteHeld                 // to the owner: it will be carried out
	noteDone                 // to the owner: it was carried out
	noteEnrolled             // to the owner: a passkey was let in
	noteRemoved              // to the owner: a passkey was removed
)

// Tries of a notice, and the time between two.
const (
	noteTries = 3
	noteAgain = 20 * time.Second
)

// announce tells the people of a strict account, in the background: an operation does
// not wait for a mail server. An account that is not strict is told of by the hub.
func (s *service) announce(ctx context.Context, n note, r journal.Recovery, k claimant, at time.Time) {
	if !k.terms.Strict && k.terms.Delay == 0 {
		return
	}
	to := s.recipients(n, k)
	if s.mail == nil || len(to) == 0 {
		s.log.Warn("nobody can be told by the agent itself", "account", withoutAddresses(r.Account), "operation", r.Operation)
		return
	}
	text := noteText{of: n, operation: r.Operation, account: accountName(k), origin: r.Origin, at: at, language: k.contacts.Language, trial: s.trial || r.Trial}
	ctx = context.WithoutCancel(ctx)
	s.notices.Go(func() { s.deliverNote(ctx, to, text) })
}

// deliverNote tries again while the agent runs.
func (s *service) deliverNote(ctx context.Context, to []string, text noteText) {
	for i := range noteTries {
		try, cancel := context.WithTimeout(ctx, smtpLife)
		err := s.mail.sendNote(try, to, text)
		cancel()
		if err == nil {
			return
		}
		s.log.Error("a notice cannot be sent", "try", i+1, "error", withoutAddresses(err.Error()))
		select {
		case <-s.ending:
			return
		case <-time.After(noteAgain):
		}
	}
}

// recipients are the owner's addresses, those that left the directory lately too
// (T16); the manager where the owner has none (T34); or the approvers.
func (s *service) recipients(n note, k claimant) []string {
	var to []string
	if n == noteAsked {
		list, err := known.Approvers(s.state)
		if err != nil {
			return nil
		}
		for _, a := range list {
			if !strings.EqualFold(a.Person, k.facts.ID) {
				to = append(to, plainMail([]string{a.Mail})...)
			}
		}
		return distinct(to)
	}
	own := distinct(slices.Concat(plainMail(k.contacts.Mail), plainMail(s.known.Former(k.facts.ID))))
	if len(own) == 0 && k.terms.NoNotice == proof.NoticeManager {
		return plainMail([]string{k.contacts.Manager})
	}
	if len(own) == 0 {
		return nil
	}
	return distinct(append(own, plainMail(k.contacts.Primary)...))
}

func distinct(list []string) []string {
	var kept []string
	for _, a := range list {
		if !slices.ContainsFunc(kept, func(o string) bool { return strings.EqualFold(o, a) }) {
			kept = append(kept, a)
		}
	}
	return kept
}

// accountName is how the owner knows the account.
func accountName(k claimant) string {
	if len(k.contacts.Primary) > 0 {
		return k.contacts.Primary[0]
	}
	return k.facts.ID
}

// A noteText is a notice before it has words.
type noteText struct {
	of                         note
	operation, account, origin string
	language                   string
	at                         time.Time
	trial                      bool // it was evaluated, and nothing was changed
}

// noteWords are subject and sentence by language: account, operation, site, time.
var noteWords = map[string][5]struct{ subject, body string }{
	"en": {
		noteAsked: {"A recovery asks for approval", "Somebody asks at %[3]s, for the account %[1]s: %[2]s.\n\nThe owner has confirmed it to this company's agent.\n" +
			"Approve only if you have spoken to the person, and only exactly this.\n"},
		noteHeld: {"A recovery of your account was accepted", "Somebody proved at %[3]s to be the owner of the account %[1]s, and asked: %[2]s.\n\n" +
			"It can be carried out from %[4]s on. If it was not you, cancel it there and tell your IT department now.\n"},
		noteDone: {"Your account was recovered", "At %[4]s, at %[3]s, this was done to the account %[1]s: %[2]s.\n\n" +
			"If it was not you, tell your IT department now.\n"},
		noteEnrolled: {"A passkey was added", "At %[4]s, at %[3]s, a passkey was added for recoveries of the account %[1]s. It counts after 72 hours.\n\n" +
			"If it was not you, tell your IT department now.\n"},
		noteRemoved: {"A passkey was removed", "At %[4]s a passkey for recoveries of the account %[1]s was removed. Nothing can be recovered with it any more.\n\n" +
			"If it was not you, tell your IT department now.\n"},
	},
	"de": {
		noteAsked: {"Eine Wiederherstellung bittet um Zustimmung", "Jemand bittet bei %[3]s, für das Konto %[1]s: %[2]s.\n\nDer Inhaber hat es dem Agenten der Firma bestätigt.\n" +
			"Stimmen Sie nur zu, wenn Sie mit der Person gesprochen haben, und nur genau dem.\n"},
		noteHeld: {"Eine Wiederherstellung Ihres Kontos wurde angenommen", "Jemand hat sich bei %[3]s als Inhaber des Kontos %[1]s ausgewiesen und bittet: %[2]s.\n\n" +
			"Ab %[4]s kann es ausgeführt werden. Wenn Sie es nicht waren, brechen Sie es dort ab und sagen Sie sofort Ihrer IT-Abteilung Bescheid.\n"},
		noteDone: {"Ihr Konto wurde wiederhergestellt", "Um %[4]s wurde bei %[3]s am Konto %[1]s ausgeführt: %[2]s.\n\n" +
			"Wenn Sie es nicht waren, sagen Sie sofort Ihrer IT-Abteilung Bescheid.\n"},
		noteEnrolled: {"Ein Passkey wurde hinzugefügt", "Um %[4]s wurde bei %[3]s ein Passkey für Wiederherstellungen des Kontos %[1]s hinzugefügt. Er zählt nach 72 Stunden.\n\n" +
			"Wenn Sie es nicht waren, sagen Sie sofort Ihrer IT-Abteilung Bescheid.\n"},
		noteRemoved: {"Ein Passkey wurde entfernt", "Um %[4]s wurde ein Passkey für Wiederherstellungen des Kontos %[1]s entfernt. Mit ihm lässt sich nichts mehr wiederherstellen.\n\n" +
			"Wenn Sie es nicht waren, sagen Sie sofort Ihrer IT-Abteilung Bescheid.\n"},
	},
}

// trialWords stand before every notice while the agent evaluates.
var trialWords = map[string]struct{ subject, body string }{
	"en": {"Trial: ", "This is a trial. Nothing was changed, and nothing will be."},
	"de": {"Probelauf: ", "Dies ist ein Probelauf. Es wurde nichts geändert, und es wird nichts geändert."},
}

// operationWords are what people read for an operation.
var operationWords = map[string]map[protocol.Operation]string{
	"en": {
		protocol.GetTemporaryPassword: "set a new temporary password", protocol.GetPasswordLink: "make a link that sets a new password",
		protocol.RemoveAllMFA: "remove all second factors", protocol.GetMFABypassCode: "make a code that replaces the second factor",
		protocol.GetMFALink: "make a link that sets up a second factor", protocol.Unlock: "unlock", protocol.GetTemporaryAccessPass: "make a temporary access pass",
		protocol.EnrollKey: "add a passkey for recoveries",
	},
	"de": {
		protocol.GetTemporaryPassword: "ein neues vorläufiges Passwort setzen", protocol.GetPasswordLink: "einen Link erzeugen, der ein neues Passwort setzt",
		protocol.RemoveAllMFA: "alle zweiten Faktoren entfernen", protocol.GetMFABypassCode: "einen Code erzeugen, der den zweiten Faktor ersetzt",
		protocol.GetMFALink: "einen Link erzeugen, der einen zweiten Faktor einrichtet", protocol.Unlock: "entsperren",
		protocol.GetTemporaryAccessPass: "einen befristeten Zugangscode erzeugen", protocol.EnrollKey: "einen Passkey für Wiederherstellungen hinzufügen",
	},
}

// inWords says what an operation does; an unknown one as it is written.
func inWords(operation, language string) string {
	tasks, err := protocol.ParseTasks(operation)
	if err != nil {
		return operation
	}
	var words []string
	for _, t := range tasks {
		word := operationWords[language][t.Operation]
		if word == "" {
			word = string(t.Operation)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// languageOf is one that there are words in.
func languageOf(tag string) string {
	base, _, _ := strings.Cut(strings.ToLower(tag), "-")
	if _, ok := noteWords[base]; ok {
		return base
	}
	return "en"
}

// sendNote sends one notice to all addresses.
func (m *mailer) sendNote(ctx context.Context, to []string, n noteText) error {
	language := languageOf(n.language)
	words := noteWords[language][n.of]
	body := fmt.Sprintf(words.body, n.account, inWords(n.operation, language), n.origin, n.at.UTC().Format("2006-01-02 15:04 UTC"))
	if n.trial {
		t := trialWords[language]
		return m.send(ctx, to, t.subject+words.subject, t.body+"\n\n"+body)
	}
	return m.send(ctx, to, words.subject, body)
}

// send sends one plain message to all addresses.
func (m *mailer) send(ctx context.Context, to []string, subject, body string) error {
	from, err := mail.ParseAddress(m.cfg.From)
	if err != nil {
		return err
	}
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	text, err := plainMessage(from, to, subject, body)
	if err != nil {
		return err
	}
	return deliver(c, from.Address, to, text)
}

// plainMessage writes a mail (RFC 5322).
func plainMessage(from *mail.Address, to []string, subject, body string) ([]byte, error) {
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", from.String()}, {"To", headerList(to)}, {"Subject", mime.QEncoding.Encode("utf-8", subject)},
		{"Date", time.Now().Format(time.RFC1123Z)}, {"Message-ID", "<" + rand.Text() + "@" + domainOf(from.Address) + ">"},
		{"Auto-Submitted", "auto-generated"}, {"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	_, err := io.WriteString(q, strings.ReplaceAll(body, "\n", "\r\n"))
	return b.Bytes(), errors.Join(err, q.Close())
}
