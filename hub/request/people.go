package request

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// Statuses of a property on the wire.
const (
	statusShared  = 200
	statusRefused = 403 // not shared, or taken back
	statusOver    = 410 // the consent has ended
)

// A Property is the wire type PropertyResponse.
type Property struct {
	Expires *time.Time `json:"expires,omitempty"`
	Scope   string     `json:"scope,omitempty" words:"scope"`
	Claim   string     `json:"claim"`
	Value   any        `json:"value,omitempty"`
	Status  int        `json:"status"`
}

// A Consent is the wire type PropertyResponseRequest.
type Consent struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	Status    int       `json:"status"`
	Scopes    []string  `json:"scopes,omitempty" words:"scope"`
	Claims    []string  `json:"claims"`
}

// Disclosed is the wire type PropertiesResponse.
type Disclosed struct {
	Subject    string     `json:"subject"`
	Requests   []Consent  `json:"requests"`
	Properties []Property `json:"properties"`
}

func propertyStatus(p store.Property, now time.Time) int {
	switch {
	case !p.RevokedAt.IsZero():
		return statusRefused
	case ended(p.ExpiresAt, now):
		return statusOver
	case p.Value == nil:
		return statusRefused
	}
	return statusShared
}

// Wanted is one property that is asked for, by its claim or by a scope that stands for it.
type Wanted struct{ Scope, Claim string }

// Want lists what is asked for, once each and in its order: claims, then those that scopes
// stand for.
func Want(scopes, names []string) (all []Wanted) {
	add := func(w Wanted) {
		if w.Claim != "" && !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	for _, n := range Canonical(names) {
		add(Wanted{Claim: n})
	}
	for _, s := range scopes {
		add(Wanted{s, scopeClaim(s)})
	}
	return all
}

// Disclose returns what a person shares of some claims. store.ErrNotFound if nobody of
// that name ever shared anything with the environment.
func (q *Requests) Disclose(ctx context.Context, tx *store.Tx, env, person string, wanted []Wanted) (Disclosed, error) {
	d := Disclosed{Subject: Subject(env, person), Requests: []Consent{}, Properties: []Property{}}
	if _, err := tx.Person(ctx, env, person); err != nil {
		return d, err
	}
	all, err := tx.Properties(ctx, env, person)
	if err != nil {
		return d, err
	}
	for _, w := range wanted {
		p := Property{Claim: w.Claim, Status: statusRefused}
		if i := slices.IndexFunc(all, func(p store.Property) bool { return p.Claim == w.Claim }); i >= 0 {
			if p, err = disclosed(all[i], q.Now()); err != nil {
				return d, err
			}
		}
		p.Scope = w.Scope
		d.Properties = append(d.Properties, p)
	}
	shares, err := tx.Shares(ctx, env, person)
	for _, s := range shares {
		if !slices.ContainsFunc(s.Claims, func(c string) bool { return slices.ContainsFunc(wanted, func(w Wanted) bool { return w.Claim == c }) }) {
			continue
		}
		c := Consent{ID: s.Request, CreatedAt: s.SharedAt, Status: statusShared, Scopes: s.Scopes, Claims: Public(s.Claims)}
		if !s.RevokedAt.IsZero() {
			c.Status = statusRefused
		}
		d.Requests = append(d.Requests, c)
	}
	return d, err
}

// Nobody is the answer for a subject that is not known.
func Nobody(subject string, wanted []Wanted) Disclosed {
	d := Disclosed{Subject: subject, Requests: []Consent{}, Properties: []Property{}}
	for _, w := range wanted {
		d.Properties = append(d.Properties, Property{Scope: w.Scope, Claim: w.Claim, Status: statusRefused})
	}
	return d
}

func disclosed(p store.Property, now time.Time) (out Property, err error) {
	out = Property{Claim: p.Claim, Status: propertyStatus(p, now)}
	if !p.ExpiresAt.IsZero() {
		out.Expires = &p.ExpiresAt
	}
	if out.Status == statusShared {
		out.Value, err = decodeValue(p.Value)
	}
	return out, err
}

// Revoke ends the organisation's access to claims of a person. Requests of which nothing
// is left are revoked too.
func (q *Requests) Revoke(ctx context.Context, tx *store.Tx, env, person string, names []string, byPerson bool) error {
	if _, err := tx.Person(ctx, env, person); err != nil {
		return err
	}
	var gone []string
	for _, n := range names {
		if err := tx.RevokeProperty(ctx, env, person, n); err == nil {
			gone = append(gone, n)
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	if len(gone) == 0 {
		return nil
	}
	left, err := tx.Properties(ctx, env, person)
	if err != nil {
		return err
	}
	live := func(claim string) bool {
		return slices.ContainsFunc(left, func(p store.Property) bool { return p.Claim == claim && p.Value != nil })
	}
	event := eventOurRevoke
	if byPerson {
		event = eventUserRevoke
	}
	return q.endShares(ctx, tx, env, person, gone, event, func(s store.Share) bool { return !slices.ContainsFunc(s.Claims, live) })
}

// endShares ends the consents that nothing is left of, and tells of all that lost
// something.
func (q *Requests) endShares(ctx context.Context, tx *store.Tx, env, person string, gone []string, event string, over func(store.Share) bool) error {
	shares, err := tx.Shares(ctx, env, person)
	if err != nil {
		return err
	}
	for _, s := range shares {
		lost := slices.DeleteFunc(slices.Clone(s.Claims), func(c string) bool { return !slices.Contains(gone, c) })
		if !s.RevokedAt.IsZero() || len(lost) == 0 {
			continue
		}
		r, err := tx.Request(ctx, env, s.Request)
		if err != nil {
			return err
		}
		if over(s) {
			if err := tx.RevokeShare(ctx, env, s.Request, person); err != nil {
				return err
			}
			if err := q.mark(ctx, tx, &r, person, Revoked); err != nil {
				return err
			}
		}
		for _, e := range append([]string{event}, forgotten(lost)...) {
			if err := q.tell(ctx, tx, r, e); err != nil {
				return err
			}
		}
		if err := q.share(ctx, tx, r, person, lost, true); err != nil {
			return err
		}
	}
	return nil
}

// forgotten returns the events of what the public documents name besides the end of a
// consent: a picture, a number and an address are destroyed with it.
func forgotten(claims []string) (events []string) {
	for _, c := range []struct{ claim, event string }{{store.PictureClaim, eventPictureRemoved}, {Phone, eventPhoneDeleted}, {Email, eventEmailDeleted}} {
		if slices.Contains(claims, c.claim) {
			events = append(events, c.event)
		}
	}
	return events
}

// timedOut returns which claims of a consent that has just ended were forgotten with it.
func timedOut(ctx context.Context, tx *store.Tx, over store.EndedShare) (lost []string, err error) {
	shares, err := tx.Shares(ctx, over.Env, over.Person)
	if err != nil {
		return nil, err
	}
	properties, err := tx.Properties(ctx, over.Env, over.Person)
	i := slices.IndexFunc(shares, func(s store.Share) bool { return s.Request == over.Request })
	for _, p := range properties {
		if i >= 0 && p.Value == nil && p.RevokedAt.IsZero() && slices.Contains(shares[i].Claims, p.Claim) {
			lost = append(lost, p.Claim)
		}
	}
	return lost, err
}

// mark changes the state of a request whose last answer was this person's.
func (q *Requests) mark(ctx context.Context, tx *store.Tx, r *store.Request, person, state string) error {
	if r.Person != person || r.State != Shared && r.State != Revoked {
		return nil
	}
	r.State = state
	return tx.SaveRequest(ctx, r)
}

// shared tells that a person shared something by a request, and all that they share with
// the environment now: in the public API the event lists the whole of it.
func (q *Requests) shared(ctx context.Context, tx *store.Tx, r store.Request, person string) error {
	all, err := tx.Properties(ctx, r.Env, person)
	if err != nil {
		return err
	}
	names := []string{}
	for _, p := range all {
		if propertyStatus(p, q.Now()) == statusShared {
			names = append(names, p.Claim)
		}
	}
	return q.share(ctx, tx, r, person, names, false)
}

func (q *Requests) share(ctx context.Context, tx *store.Tx, r store.Request, person string, names []string, revoked bool) error {
	if q.Hooks == nil {
		return nil
	}
	return q.Hooks.SharingChanged(ctx, tx, r.Env, Sharing{Subject: Subject(r.Env, person), Request: r.ID, Label: r.Label, Claims: Public(names), Revoked: revoked})
}

// Erase destroys the key of a person: nothing that they shared, and nothing personal
// that the audit log says of them, can be read any more. store.ErrNotFound if there is
// nobody, or nobody any more.
func (q *Requests) Erase(ctx context.Context, tx *store.Tx, env, person string) error {
	shares, err := tx.Shares(ctx, env, person)
	if err != nil {
		return err
	}
	if err := tx.ErasePerson(ctx, env, person); err != nil {
		return err
	}
	if err := eraseVisits(ctx, tx, env, person, shares); err != nil {
		return err
	}
	for _, s := range shares {
		r, err := tx.Request(ctx, env, s.Request)
		if err != nil {
			return err
		}
		if s.RevokedAt.IsZero() {
			if err := tx.RevokeShare(ctx, env, s.Request, person); err != nil {
				return err
			}
		}
		if r.Person != person {
			continue
		}
		if err := eraseTrace(ctx, tx, env, r.Exchange); err != nil { // what an application said of them
			return err
		}
		if err := q.mark(ctx, tx, &r, person, PersonDeleted); err != nil {
			return err
		}
		if err := q.tell(ctx, tx, r, eventDeleted); err != nil {
			return err
		}
	}
	return nil
}

// aroundShare is how far the event of a share may stand from it: both are of one
// transaction.
const aroundShare = time.Second

// eraseVisits destroys the keys of what the log says of the browser by which a person opened
// a link, before they shared something: it stands there under the trace of that visit, which
// the event of the share has as well.
func eraseVisits(ctx context.Context, tx *store.Tx, env, person string, shares []store.Share) error {
	org, err := tx.OrganisationOf(ctx, env)
	if err != nil {
		return err
	}
	for _, s := range shares {
		all, err := audit.List(ctx, tx, org, store.AuditFilter{Envs: []string{env}, Kinds: []string{string(audit.RequestAccepted)}, Count: store.MaxAudit,
			From: audit.FirstID(s.SharedAt.Add(-aroundShare)), To: audit.FirstID(s.SharedAt.Add(aroundShare))})
		if err != nil {
			return err
		}
		for _, r := range all {
			if r.Person != person {
				continue
			}
			if err := eraseTrace(ctx, tx, env, r.Trace); err != nil {
				return err
			}
		}
	}
	return nil
}

// eraseTrace destroys the key of whoever is known by a trace alone, if there is one.
func eraseTrace(ctx context.Context, tx *store.Tx, env, trace string) error {
	err := audit.Erase(ctx, tx, env, audit.ByTrace(trace))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// Named tells of the last request that a person answered and still shares by that their
// preferred name was set.
func (q *Requests) Named(ctx context.Context, tx *store.Tx, env, person string) error {
	shares, err := tx.Shares(ctx, env, person)
	if err != nil {
		return err
	}
	for _, s := range shares {
		if !s.RevokedAt.IsZero() {
			continue
		}
		r, err := tx.Request(ctx, env, s.Request)
		if err != nil {
			return err
		}
		if r.Person == person {
			return q.tell(ctx, tx, r, eventPreferredName)
		}
	}
	return nil
}

// event is an audit event of a request that its person caused.
func (q *Requests) event(r store.Request, u store.RequestUse, kind audit.Kind, by Client, detail map[string]any) audit.Event {
	e := audit.Event{Env: r.Env, Kind: kind, Trace: u.ID, Person: u.Person, Detail: map[string]any{"request_id": r.ID},
		Personal: map[string]string{"remote_addr": by.Address, "user_agent": by.UserAgent}}
	for k, v := range detail {
		e.Detail.(map[string]any)[k] = v
	}
	if u.Person != "" {
		e.Personal, e.RemoteAddr, e.UserAgent = nil, by.Address, by.UserAgent
		e.Actor = audit.Principal{Subject: Subject(r.Env, u.Person)}
	}
	return e
}

// Shares reports whether a person shares a claim now.
func (q *Requests) Shares(ctx context.Context, tx *store.Tx, env, person, claim string) (bool, error) {
	all, err := tx.Properties(ctx, env, person)
	return slices.ContainsFunc(all, func(p store.Property) bool { return p.Claim == claim && propertyStatus(p, q.Now()) == statusShared }), err
}
