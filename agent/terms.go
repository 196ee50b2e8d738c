package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// A claimant is an account with all that decides what it is asked for.
type claimant struct {
	facts     directory.Facts
	terms     proof.Terms
	person    directory.Person // members that do not count yet are empty
	contacts  protocol.Contacts
	mailboxes []string // to which a code may go
	phones    []string // the same
	manager   bool     // has an address that counts
	keys      []proof.Key
	approvers []proof.Approver
}

// claimant reads what the terms of an account need. Of an account that is not strict
// nothing private is read but the addresses at which its owner hears of a delay.
func (s *service) claimant(ctx context.Context, f directory.Facts, tasks []protocol.Task) (claimant, error) {
	k := claimant{facts: f}
	people, err := known.Approvers(s.state)
	if err != nil {
		return k, protocol.Err(protocol.CodeConfiguration, "the list of approvers cannot be read: "+err.Error())
	}
	k.terms = s.termsOf(f, tasks, people)
	if !k.terms.Strict {
		if k.terms.Delay > 0 { // its owner is told while it is held
			if k.contacts, err = s.dir.Contacts(ctx, f.ID); err != nil {
				return k, asError(err)
			}
		}
		return k, nil
	}
	if err := s.look(ctx, &k); err != nil {
		return k, err
	}
	if err := s.known.Save(); err != nil {
		return k, protocol.Err(protocol.CodeUnavailable, "the agent cannot write its memory; look at its log and its disk")
	}
	now := s.now()
	for _, key := range s.known.Keys(f.ID) {
		by := proof.Strength{Methods: key.Strength, Approvals: key.Approvals}
		if now.Unix() >= key.Active && k.terms.Opens(by) { // a key opens what proved it in, and no more (T17)
			k.keys = append(k.keys, proof.Key{Credential: credentialOf(key), Strength: by})
		}
	}
	k.approvers = s.mayApprove(people, f.ID, now)
	return k, nil
}

// termsOf are what the file asks of an account. Who approves for others falls under the
// strictest rule (T17), and a passkey is let in by strict evidence alone (T3).
func (s *service) termsOf(f directory.Facts, tasks []protocol.Task, people []known.Approver) proof.Terms {
	t := s.evidence.TermsFor(f.Groups, s.guard.Sensitive(f))
	if slices.ContainsFunc(people, func(a known.Approver) bool { return strings.EqualFold(a.Person, f.ID) }) {
		t = s.evidence.Strictest(t)
	}
	if enrols(tasks) {
		t = t.Verifiable()
	}
	return t
}

// look reads the private attributes of a strict account and notes since when they are
// there; the caller saves it.
func (s *service) look(ctx context.Context, k *claimant) error {
	var err error
	if k.contacts, err = s.dir.Contacts(ctx, k.facts.ID); err != nil {
		return asError(err)
	}
	if d, ok := s.dir.(directory.Personal); ok {
		if k.person, err = d.Person(ctx, k.facts.ID); err != nil {
			return asError(err)
		}
	}
	s.known.Note(k.facts.ID, append(valuesOf(k.contacts, k.person), phoneValues(s.sms.numbers(k.contacts.Phone))...), !s.evidence.WaitAtStart)
	soon := k.facts.NeverSignedIn && s.evidence.NewAccounts == proof.NewAccountsCount // their owner has had nothing to lose yet
	counts := func(kind, text string) bool {
		return text != "" && (soon || s.known.Counts(k.facts.ID, known.Value{Kind: kind, Text: text}))
	}
	for _, a := range plainMail([]string{k.contacts.Manager}) {
		k.manager = counts(known.KindManager, a)
	}
	for _, a := range plainMail(k.contacts.Mail) {
		if counts(known.KindMail, a) {
			k.mailboxes = append(k.mailboxes, a)
		}
	}
	for _, n := range s.sms.numbers(k.contacts.Phone) {
		if counts(known.KindPhone, n) {
			k.phones = append(k.phones, n)
		}
	}
	if !counts(known.KindName, nameOf(k.person)) {
		k.person.Name, k.person.Given, k.person.Family = "", "", ""
	}
	if !counts(known.KindBirthDate, k.person.BirthDate) {
		k.person.BirthDate = ""
	}
	return nil
}

// valuesOf are the attributes that the agent matches on or sends to (T16).
func valuesOf(c protocol.Contacts, p directory.Person) []known.Value {
	var all []known.Value
	for _, a := range plainMail(c.Mail) {
		all = append(all, known.Value{Kind: known.KindMail, Text: a})
	}
	for _, a := range plainMail([]string{c.Manager}) {
		all = append(all, known.Value{Kind: known.KindManager, Text: a})
	}
	if name := nameOf(p); name != "" {
		all = append(all, known.Value{Kind: known.KindName, Text: name})
	}
	if p.BirthDate != "" {
		all = append(all, known.Value{Kind: known.KindBirthDate, Text: p.BirthDate})
	}
	return all
}

// phoneValues are numbers that codes go to.
func phoneValues(numbers []string) []known.Value {
	var all []known.Value
	for _, n := range numbers {
		all = append(all, known.Value{Kind: known.KindPhone, Text: n})
	}
	return all
}

// nameOf is all that a directory says of somebody's name, as one value.
func nameOf(p directory.Person) string {
	return strings.Trim(strings.Join([]string{p.Name, p.Given, p.Family}, " | "), " |")
}

// plainMail parses addresses and drops what is none.
func plainMail(list []string) []string {
	var to []string
	for _, text := range list {
		if a, err := mail.ParseAddress(text); err == nil && len(to) < codeMailboxes {
			to = append(to, a.Address)
		}
	}
	return to
}

// mayApprove are the approvers of a recovery: not the subject, and nobody whose own
// account was recovered within the last 72 hours (T17).
func (s *service) mayApprove(people []known.Approver, subject string, now time.Time) []proof.Approver {
	recovered := map[string]bool{}
	for _, p := range s.journal.PerformedSince(now.Add(-known.Wait)) {
		recovered[strings.ToLower(p.Account)] = true
	}
	var all []proof.Approver
	for _, a := range people {
		if !strings.EqualFold(a.Person, subject) && !recovered[strings.ToLower(a.Person)] {
			all = append(all, proof.Approver{ID: a.ID, Person: a.Person, Credential: approverCredential(a)})
		}
	}
	return all
}

// possible drops the combinations that the account cannot prove at this agent.
func (s *service) possible(k claimant) proof.Terms {
	named := k.person.BirthDate != "" && nameOf(k.person) != ""
	mailboxes, phones := s.codeGoesTo(k)
	can := map[string]bool{
		proof.MethodAgentCode:         len(mailboxes)+len(phones) > 0,
		proof.MethodPasskey:           len(k.keys) > 0,
		proof.MethodDigitalCredential: named && s.checker.Documents(),
		proof.MethodIdentityProvider:  named && s.checker.Providers(),
		proof.MethodApproval:          personsOf(k.approvers) >= max(1, k.terms.Approvals),
	}
	t := k.terms
	t.Methods = slices.DeleteFunc(slices.Clone(t.Methods), func(c []string) bool {
		return slices.ContainsFunc(c, func(m string) bool { return !can[m] })
	})
	return t
}

// rulesHash names all rules in force, so that the hub can compare those of a
// directory's agents.
func (s *service) rulesHash() string { return rulesHash(s.guard.Hash(), s.evidence) }

func rulesHash(guard string, e proof.Settings) string {
	if !e.On() {
		return guard
	}
	js, _ := json.Marshal(e) // strings and numbers always marshal
	sum := sha256.Sum256(append([]byte(guard), js...))
	return hex.EncodeToString(sum[:])
}
