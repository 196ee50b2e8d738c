package agent

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// assessedPerHour bounds how many accounts a hub may ask about: a company of ten thousand
// is done within minutes, and a hub that asks without end does not wear the directory out.
const assessedPerHour = 40_000

// assessments count the accounts of the current hour.
type assessments struct {
	mu    sync.Mutex
	since time.Time
	n     int
}

func (a *assessments) allow(n int, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.since) >= time.Hour {
		a.since, a.n = now, 0
	}
	if a.n+n > assessedPerHour {
		return false
	}
	a.n += n
	return true
}

// evaluate says what would happen to accounts. It reads, answers with a closed set of
// words, and does so only while the agent's own file says evaluation = true (T33).
func (s *service) evaluate(ctx context.Context, q protocol.EvaluateRequest, e *event) (any, error) {
	e.Count, e.Trial = len(q.Accounts), true
	if !s.trial {
		return nil, protocol.Err(protocol.CodePermissionDenied, "evaluation is not switched on in the agent's file")
	}
	all, err := parseEvaluate(q)
	if err != nil {
		return nil, err
	}
	if !s.assessed.allow(len(all), s.now()) {
		return nil, protocol.Err(protocol.CodeRateLimited, "too many accounts were evaluated within an hour")
	}
	answer := protocol.Evaluations{Accounts: make([]protocol.Evaluation, len(all))}
	for i, tasks := range all {
		if answer.Accounts[i], err = s.assess(ctx, q.Accounts[i], tasks); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// parseEvaluate reads the operations of each account before anything is asked of the directory.
func parseEvaluate(q protocol.EvaluateRequest) ([][][]protocol.Task, error) {
	if len(q.Accounts) == 0 || len(q.Accounts) > protocol.MaxEvaluated {
		return nil, protocol.Err(protocol.CodeBadRequest, "too many accounts at once, or none")
	}
	all := make([][][]protocol.Task, len(q.Accounts))
	for i, a := range q.Accounts {
		if err := wellFormed("account", a.ID, maxID); err != nil {
			return nil, err
		}
		if len(a.Operations) > protocol.MaxEvaluatedOperations {
			return nil, protocol.Err(protocol.CodeBadRequest, "too many operations of one account")
		}
		for _, text := range a.Operations {
			tasks, err := parseTasks(text)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], tasks)
		}
	}
	return all, nil
}

// assess looks at one account. What concerns the account is a reason; an error says that
// the directory cannot be asked now.
func (s *service) assess(ctx context.Context, q protocol.EvaluateAccount, operations [][]protocol.Task) (protocol.Evaluation, error) {
	id := q.ID
	out := protocol.Evaluation{ID: id}
	facts, err := s.dir.Facts(ctx, id)
	if why := asError(err); why != nil {
		reason, err := reasonOf(why)
		for range operations {
			out.Reasons = append(out.Reasons, reason)
		}
		return out, err
	}
	out.Groups = groupsOf(facts)
	if facts.Lasting {
		out.Notes = append(out.Notes, protocol.ReasonNeverExpires)
	}
	c, p, err := s.private(ctx, id)
	if err != nil {
		return out, err
	}
	out.Has = has(c, p)
	if q.Photo {
		image, err := s.pictureOf(ctx, id)
		if why := asError(err); why != nil {
			return out, why
		}
		if len(image) > 0 {
			out.Has = append(out.Has, protocol.FactPhoto)
		}
	}
	for _, tasks := range operations {
		reason, err := s.assessOperation(ctx, facts, tasks)
		if err != nil {
			return out, err
		}
		if reason.Note() {
			out.Notes, reason = append(out.Notes, reason), ""
		}
		out.Reasons = append(out.Reasons, reason)
	}
	return out, s.assessTerms(ctx, facts, c, p, &out)
}

// private reads what only becomes facts.
func (s *service) private(ctx context.Context, id string) (c protocol.Contacts, p directory.Person, err error) {
	if c, err = s.dir.Contacts(ctx, id); err != nil {
		return c, p, asError(err)
	}
	if d, ok := s.dir.(directory.Personal); ok {
		if p, err = d.Person(ctx, id); err != nil {
			return c, p, asError(err)
		}
	}
	return c, p, nil
}

func has(c protocol.Contacts, p directory.Person) []protocol.Fact {
	var facts []protocol.Fact
	for _, f := range []struct {
		fact protocol.Fact
		is   bool
	}{
		{protocol.FactMail, len(plainMail(c.Mail)) > 0}, {protocol.FactPhone, len(c.Phone) > 0},
		{protocol.FactManager, len(plainMail([]string{c.Manager})) > 0}, {protocol.FactName, nameOf(p) != ""},
		{protocol.FactBirthDate, p.BirthDate != ""},
	} {
		if f.is {
			facts = append(facts, f.fact)
		}
	}
	return facts
}

// assessOperation is begin without a recovery.
func (s *service) assessOperation(ctx context.Context, f directory.Facts, tasks []protocol.Task) (protocol.Reason, error) {
	k, err := s.claimant(ctx, f, tasks)
	if err != nil {
		return "", err
	}
	notice, err := s.canBeTold(ctx, k)
	if err != nil {
		return "", err
	}
	why, err := s.firstFinding(ctx, k, s.possible(k), tasks, notice)
	if err != nil || why == nil {
		return "", err
	}
	return reasonOf(why)
}

// reasonOf is the word for a refusal, or the refusal itself as an error where it says
// nothing about the account.
func reasonOf(why *protocol.Error) (protocol.Reason, error) {
	if why.Reason != "" {
		return why.Reason, nil
	}
	switch why.Code {
	case protocol.CodeAccountNotFound:
		return protocol.ReasonGone, nil
	case protocol.CodePermissionDenied:
		return protocol.ReasonRights, nil
	case protocol.CodeUnsupportedAccountState:
		return protocol.ReasonState, nil
	case protocol.CodePasswordPolicy:
		return protocol.ReasonPasswordPolicy, nil
	case protocol.CodeUnsupported:
		return protocol.ReasonUnsupported, nil
	case protocol.CodeConfiguration, protocol.CodeInternal:
		return protocol.ReasonUnreadable, nil
	}
	return "", why
}

// assessTerms says what the file asks for, and what of it the owner cannot prove.
func (s *service) assessTerms(ctx context.Context, f directory.Facts, c protocol.Contacts, p directory.Person, out *protocol.Evaluation) error {
	k, err := s.claimant(ctx, f, nil)
	if err != nil {
		return err
	}
	out.Terms = k.terms.For()
	if !s.sendsCodes() {
		out.Unprovable = protocol.Lacks{proof.MethodAgentCode: protocol.ReasonNoMailRoute}
	} else if len(plainMail(c.Mail))+len(s.sms.numbers(c.Phone)) == 0 {
		out.Unprovable = protocol.Lacks{proof.MethodAgentCode: protocol.ReasonNoMail}
	}
	if k.terms.Strict {
		out.Unprovable = s.unprovable(k, c, p)
	}
	return nil
}

// unprovable says of each method that a strict account cannot prove to this agent why.
func (s *service) unprovable(k claimant, c protocol.Contacts, p directory.Person) protocol.Lacks {
	lacks := protocol.Lacks{}
	set := func(method string, rules ...reasonIf) {
		if i := slices.IndexFunc(rules, func(r reasonIf) bool { return r.is }); i >= 0 {
			lacks[method] = rules[i].reason
		}
	}
	named := []reasonIf{
		{nameOf(p) == "", protocol.ReasonNoName}, {p.BirthDate == "", protocol.ReasonNoBirthDate},
		{nameOf(k.person) == "" || k.person.BirthDate == "", protocol.ReasonYoung},
	}
	mailboxes, phones := s.codeGoesTo(k)
	set(proof.MethodAgentCode, reasonIf{!s.sendsCodes(), protocol.ReasonNoMailRoute}, reasonIf{len(plainMail(c.Mail))+len(s.sms.numbers(c.Phone)) == 0, protocol.ReasonNoMail},
		reasonIf{len(mailboxes)+len(phones) == 0, protocol.ReasonYoung})
	set(proof.MethodPasskey, reasonIf{len(k.keys) == 0, protocol.ReasonNoPasskey})
	set(proof.MethodDigitalCredential, append([]reasonIf{{!s.checker.Documents(), protocol.ReasonNoIssuer}}, named...)...)
	set(proof.MethodIdentityProvider, append([]reasonIf{{!s.checker.Providers(), protocol.ReasonNoIssuer}}, named...)...)
	set(proof.MethodApproval, reasonIf{personsOf(k.approvers) < max(1, k.terms.Approvals), protocol.ReasonFewApprovers})
	return lacks
}

// A reasonIf is a reason, if it is one.
type reasonIf struct {
	is     bool
	reason protocol.Reason
}

// personsOf counts persons, not keys (T7).
func personsOf(list []proof.Approver) int {
	persons := map[string]bool{}
	for _, a := range list {
		persons[strings.ToLower(a.Person)] = true
	}
	return len(persons)
}
