package approval

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// A Request is what a person who is asked sees.
type Request struct {
	ID       string
	Approver string // the person's id, which they sign
	Name     string // of the account
	Action   protocol.Action
	Device   string // User-Agent of the browser that asks
	Address  string // its IP address
	AskedAt  time.Time
	Until    time.Time
	State    string          // of the person's own part
	Open     bool            // the request as a whole still waits
	Replaced bool            // another one was made in its place
	Tries    int             // left
	Ask      json.RawMessage // PublicKeyCredentialRequestOptionsJSON (WebAuthn Level 3, section 5.5)
}

// part is a person's part in a request, as the link names it.
type part struct {
	row  store.Approval
	d    details
	ask  store.ApprovalAsk
	who  store.Staff
	keys []evidence.Credential
}

// part finds what a link is about. ErrGone says that there is nothing, or nobody who may
// decide.
func (a *Approvals) part(ctx context.Context, tx *store.Tx, env, token string) (p part, err error) {
	if p.ask, err = tx.ApprovalAskBy(ctx, env, store.HashToken(token)); err != nil {
		return p, gone(err)
	}
	if p.row, err = tx.Approval(ctx, env, p.ask.Approval); err != nil {
		return p, gone(err)
	}
	if p.d, err = detailsOf(p.row); err != nil {
		return p, err
	}
	e, err := tx.Environment(ctx, env)
	if err != nil {
		return p, gone(err)
	}
	if p.who, err = tx.Staff(ctx, e.Org, p.ask.Staff); err != nil {
		return p, gone(err)
	}
	methods, err := a.Rules(ctx, tx, env, p.row.Directory)
	if err != nil {
		return p, err
	}
	if !p.d.about(p.row, methods.Vouchers()).stands(p.who, tx.Now()) {
		return p, ErrGone
	}
	p.keys, err = keysOf(ctx, tx, p.who, p.d.RPID)
	return p, err
}

// about is the account of a request, by the rule as it is now.
func (d details) about(row store.Approval, rule policy.People) about {
	return about{row.Env, row.Directory, row.Account, d.Manager, d.Own, rule}
}

func gone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrGone
	}
	return err
}

// timeout is how long a browser waits for the person, in milliseconds.
const timeout = 5 * 60 * 1000

// Request shows a person what they are asked. It changes nothing.
func (a *Approvals) Request(ctx context.Context, env, token string) (r Request, err error) {
	err = a.Store.Read(ctx, func(tx *store.Tx) error {
		p, err := a.part(ctx, tx, env, token)
		if err != nil {
			return err
		}
		challenge := evidence.ApprovalChallenge(p.d.Context, p.who.ID)
		allow := []map[string]string{}
		for _, k := range p.keys {
			allow = append(allow, map[string]string{"type": "public-key", "id": base64.RawURLEncoding.EncodeToString(k.ID)})
		}
		r = Request{ID: p.row.ID, Approver: p.who.ID, Name: p.d.Name, Action: p.d.Action, Device: p.d.Device, Address: p.d.Address, AskedAt: p.d.AskedAt,
			Until: p.row.EndsAt, State: p.ask.State, Replaced: p.row.State == store.ApprovalReplaced, Open: p.row.State == store.ApprovalOpen && p.row.EndsAt.After(tx.Now()), Tries: max(numberTry-p.ask.Tries, 0)}
		r.Ask, err = json.Marshal(map[string]any{"challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "rpId": p.d.RPID, "timeout": timeout,
			"userVerification": "required", "allowCredentials": allow})
		return err
	})
	return r, err
}

// shown is part for an answer: what the link names must be what the page showed. A
// browser keeps the link that was opened last, and an older page may still be open.
func (a *Approvals) shown(ctx context.Context, tx *store.Tx, env, token, request string) (part, error) {
	p, err := a.part(ctx, tx, env, token)
	switch {
	case err != nil:
		return p, err
	case p.row.ID != request:
		return p, ErrGone
	case p.row.State == store.ApprovalReplaced:
		return p, ErrReplaced
	}
	return p, nil
}

// refused is shown for a no. That is about the person who asks and not about a context:
// where another request was made in place of the link's, it is about that one while it is
// open.
func (a *Approvals) refused(ctx context.Context, tx *store.Tx, env, token, request string) (part, error) {
	p, err := a.shown(ctx, tx, env, token, request)
	if !errors.Is(err, ErrReplaced) {
		return p, err
	}
	last, err := tx.ApprovalOf(ctx, env, p.row.Verification, p.row.Kind)
	if err == nil && last.State == store.ApprovalOpen && last.EndsAt.After(tx.Now()) {
		p.row = last
		p.d, err = detailsOf(last)
	}
	return p, err
}

// Approve takes a person's approval: the number that the other one reads to them, that
// they have spoken to or seen them, and the signature, JSON of evidence.Assertion.
// request is the id that the page showed. The number is counted before it is compared.
func (a *Approvals) Approve(ctx context.Context, env, token, request, number string, spoken bool, assertion []byte, by Client) error {
	if !spoken {
		return ErrSpoken
	}
	var p part
	err := a.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if p, err = a.shown(ctx, tx, env, token, request); err != nil {
			return err
		}
		err = tx.TryApproval(ctx, env, p.row.ID, p.who.ID, numberTry)
		if errors.Is(err, store.ErrConflict) {
			err = ErrTooMany
			if p.ask.State != store.AskOpen {
				err = ErrGone
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(strings.TrimSpace(number)), []byte(p.d.Number)) != 1 {
		return ErrNumber
	}
	proof, err := p.signed(assertion)
	if err != nil {
		return err
	}
	if err := a.decide(ctx, p, store.AskApproved, proof, by); err != nil {
		return err
	}
	a.settle(ctx, env, p.row.ID)
	return nil
}

// signed checks the signature as the agent will, and returns the evidence.
func (p part) signed(assertion []byte) ([]byte, error) {
	s, err := evidence.ParseAssertion(assertion)
	if err != nil {
		return nil, errors.Join(ErrKey, err)
	}
	s.Approver = p.who.ID
	proof, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	_, err = evidence.CheckApproval(proof, p.d.Context, evidence.Anchors{Origins: []string{p.d.Origin}}, func(_ string, id []byte) (evidence.Credential, bool) {
		i := slices.IndexFunc(p.keys, func(k evidence.Credential) bool { return string(k.ID) == string(id) })
		if i < 0 {
			return evidence.Credential{}, false
		}
		return p.keys[i], true
	})
	if err != nil {
		return nil, errors.Join(ErrKey, err)
	}
	return proof, nil
}

// A Client is the browser of a person who decides, for the audit log.
type Client struct{ Address, UserAgent string }

// Deny ends the request, or the one that was made in its place, and raises the alarm:
// whoever is asked knows that this is not the account's owner.
func (a *Approvals) Deny(ctx context.Context, env, token, request string, by Client) error {
	p, err := a.deny(ctx, env, token, request, by)
	for range maxAnew - 1 { // another request may have been made at this moment
		if !errors.Is(err, ErrGone) {
			break
		}
		p, err = a.deny(ctx, env, token, request, by)
	}
	if err != nil {
		return err
	}
	a.Log.WarnContext(ctx, "an approver says that a recovery is not right", "approval", p.row.ID, "directory", p.row.Directory)
	a.Mail.Wake()
	a.settle(ctx, env, p.row.ID)
	return nil
}

func (a *Approvals) deny(ctx context.Context, env, token, request string, by Client) (p part, err error) {
	err = a.Store.Read(ctx, func(tx *store.Tx) (err error) {
		p, err = a.refused(ctx, tx, env, token, request)
		return err
	})
	if err == nil {
		err = a.decide(ctx, p, store.AskDenied, nil, by)
	}
	return p, err
}

// decide writes a decision, once, and moves the request if it decides.
func (a *Approvals) decide(ctx context.Context, p part, state string, proof []byte, by Client) error {
	err := a.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := p.touch(ctx, tx); err != nil {
			return err
		}
		who, err := tx.Staff(ctx, p.who.Org, p.who.ID)
		if err != nil {
			return err
		}
		if who.Suspended(tx.Now()) || !who.Reaches(p.row.Env) {
			return ErrGone
		}
		if err := p.write(ctx, tx, state, proof); err != nil {
			return err
		}
		if err := a.conclude(ctx, tx, p, state); err != nil {
			return err
		}
		kind := audit.ApprovalGiven
		if state == store.AskDenied {
			kind = audit.ApprovalDenied
			if err := a.alarm(ctx, tx, p); err != nil {
				return err
			}
		}
		return audit.Append(ctx, tx, audit.Event{Env: p.row.Env, Kind: kind, Account: p.d.Person, Trace: p.row.ID, Actor: audit.Principal{OrgMember: p.who.ID, Role: "approver"},
			Detail:   map[string]any{"approval": p.row.ID, "approver": p.who.ID, "operation": p.d.Operation},
			Personal: map[string]string{"approver": p.who.Name, "account": p.d.Name, "approver_address": by.Address, "approver_device": by.UserAgent}})
	})
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return ErrGone
	}
	return err
}

// touch makes decisions about a request come one after the other. One that was replaced,
// with none open in its place, moves no more.
func (p part) touch(ctx context.Context, tx *store.Tx) error {
	if p.row.State == store.ApprovalReplaced {
		return nil
	}
	return tx.TouchApproval(ctx, p.row.Env, p.row.ID)
}

// write keeps what the person decided by the link that they followed. Their part in the
// request that was made in its place says the same, unless they have decided there.
func (p part) write(ctx context.Context, tx *store.Tx, state string, proof []byte) error {
	err := tx.DecideApproval(ctx, p.row.Env, p.ask.Approval, p.who.ID, state, proof)
	if err != nil || p.ask.Approval == p.row.ID {
		return err
	}
	err = tx.DecideApproval(ctx, p.row.Env, p.row.ID, p.who.ID, state, proof)
	if errors.Is(err, store.ErrConflict) {
		err = nil
	}
	return err
}

// conclude moves the request when enough persons agreed, or one said no.
func (a *Approvals) conclude(ctx context.Context, tx *store.Tx, p part, state string) error {
	if p.row.State == store.ApprovalReplaced {
		return nil // there is none that waits
	}
	if state == store.AskDenied {
		return tx.MoveApproval(ctx, p.row.Env, p.row.ID, store.ApprovalOpen, store.ApprovalDenied)
	}
	all, needed, err := a.standing(ctx, tx, p.row, p.d)
	if err != nil || len(all) < needed {
		return err
	}
	return tx.MoveApproval(ctx, p.row.Env, p.row.ID, store.ApprovalOpen, store.ApprovalAccepted)
}

// standing lists the approvals that count at this moment, and how many are needed: of
// people who are still there, of the environment, not suspended, named by the rule as it is
// now, each person once. Who was removed meanwhile has approved nothing.
func (a *Approvals) standing(ctx context.Context, tx *store.Tx, row store.Approval, d details) (list []store.ApprovalAsk, needed int, err error) {
	methods, err := a.Rules(ctx, tx, row.Env, row.Directory)
	if err != nil {
		return nil, 0, err
	}
	e, err := tx.Environment(ctx, row.Env)
	if err != nil {
		return nil, 0, err
	}
	asks, err := tx.ApprovalAsks(ctx, row.Env, row.ID)
	if err != nil {
		return nil, 0, err
	}
	rule := methods.Vouchers()
	var people []store.Staff
	for _, k := range asks {
		if k.State != store.AskApproved {
			continue
		}
		p, err := tx.Staff(ctx, e.Org, k.Staff)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		if d.about(row, rule).stands(p, tx.Now()) && !samePerson(people, p) {
			people, list = append(people, p), append(list, k)
		}
	}
	return list, max(row.People, rule.Count), nil
}

// administrator is the least role that hears of alarms.
const administrator = store.RoleAdmin

// alarm tells administrators of the environment and everybody else who was asked.
func (a *Approvals) alarm(ctx context.Context, tx *store.Tx, p part) error {
	all, err := tx.StaffList(ctx, p.who.Org)
	if err != nil {
		return err
	}
	asks, err := tx.ApprovalAsks(ctx, p.row.Env, p.row.ID)
	if err != nil {
		return err
	}
	for _, s := range all {
		administers := store.AtLeast(s.Role, administrator) && s.Reaches(p.row.Env)
		if s.ID == p.who.ID || !administers && !slices.ContainsFunc(asks, func(k store.ApprovalAsk) bool { return k.Staff == s.ID }) {
			continue
		}
		m := Message{Env: p.row.Env, To: s.Mail, Name: s.Name, Alarm: true, Account: p.d.Name, By: p.who.Name, Origin: p.d.Origin}
		if err := a.Mail.QueueApproval(ctx, tx, m); err != nil {
			return err
		}
	}
	return nil
}

// Timing of upkeep.
const (
	upkeepEvery = 20 * time.Second
	keep        = 24 * time.Hour // of what was settled
)

// Run tells verifications what could not be told at once, and closes what is too old,
// until ctx ends.
func (a *Approvals) Run(ctx context.Context) error {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		a.Upkeep(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Upkeep does what Run does, once.
func (a *Approvals) Upkeep(ctx context.Context) {
	err := a.Store.Tx(ctx, func(tx *store.Tx) error { return tx.PurgeApprovals(ctx, tx.Now().Add(-keep)) })
	if err = errors.Join(err, a.decisions().Upkeep(ctx)); err != nil && ctx.Err() == nil {
		a.Log.WarnContext(ctx, "upkeep of approvals failed", "error", err)
	}
}

// settle tells the verification about a request that is decided. What fails is tried
// again by Run.
func (a *Approvals) settle(ctx context.Context, env, id string) { a.decisions().Settle(ctx, env, id) }

func (a *Approvals) decisions() verify.Decisions {
	return verify.Decisions{Store: a.Store, Flow: a.Flow, Log: a.Log, Method: policy.Approval, Verdict: a.verdict}
}

// verdict is what people decided, with the signature of everybody who counts.
func (a *Approvals) verdict(ctx context.Context, tx *store.Tx, row store.Approval) (verify.Verdict, error) {
	v := verify.Verdict{Reason: row.State}
	if row.State != store.ApprovalAccepted {
		return v, nil
	}
	d, err := detailsOf(row)
	if err != nil {
		return v, err
	}
	list, needed, err := a.standing(ctx, tx, row, d)
	if err != nil || len(list) < needed {
		v.Reason = "too few of them still count"
		return v, err
	}
	v.Right, v.Context = true, &d.Context
	for _, k := range list {
		v.Evidence = append(v.Evidence, protocol.Evidence{Type: evidence.TypeApproval, Raw: k.Proof})
	}
	return v, nil
}
