package request

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/postern-id/postern/hub/store"
)

// LinkPath is where a request's link leads on the recovery domain; its ticket stands in
// the fragment, which no server and no mail scanner is sent.
const LinkPath = "/request"

// Document is the wire type Request.
type Document struct {
	ID          string    `json:"id"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	Ticket      string    `json:"ticket"`
	Link        string    `json:"link"`
	Phone       string    `json:"phone,omitempty"` // while its message is on its way
	Env         string    `json:"env"`
	Template    string    `json:"template"`
	Label       string    `json:"label"`
	Scopes      []string  `json:"scopes"`
	Claims      []string  `json:"claims"`
	Status      string    `json:"status"`
	Progress    string    `json:"progress"`
	Subject     string    `json:"subject,omitempty"`
	SubjectText string    `json:"subject_text,omitempty"`

	Requester     string `json:"requester,omitempty"` // member_id; absent: a program asked
	RequesterText string `json:"requester_text,omitempty"`

	Properties  Properties `json:"properties"`
	Mobile      *Mobile    `json:"mobile,omitempty"`
	Browser     *Browser   `json:"browser,omitempty"`
	KnownUser   *bool      `json:"is_known_user,omitempty"` // whether an account is bound to them
	Photo       string     `json:"photo,omitempty"`
	ExternalIDs []string   `json:"external_ids,omitempty"` // of accounts in directories
	PIIRemoved  bool       `json:"pii_removed,omitempty"`
	Source      string     `json:"verification_source,omitempty"`
	SelfieOnly  bool       `json:"selfie_only"`
}

// Properties is the wire type RequestProperties, as far as methods prove it.
type Properties struct {
	LegalName      string `json:"legal_name,omitempty"`
	LegalFirstName string `json:"legal_first_name,omitempty"`
	LegalLastName  string `json:"legal_last_name,omitempty"`
	Name           string `json:"name,omitempty"`
	FirstName      string `json:"first_name,omitempty"`
	LastName       string `json:"last_name,omitempty"`
	BirthDate      string `json:"birth_date,omitempty"`
	Over18         *bool  `json:"age_over_18,omitempty"`
	Over21         *bool  `json:"age_over_21,omitempty"`
	ProfilePicture string `json:"profile_picture,omitempty"`

	Phone           string `json:"phone,omitempty"`
	Email           string `json:"email,omitempty"`
	UnverifiedEmail string `json:"unverified_email,omitempty"` // the same: all are verified
	Address         string `json:"address,omitempty"`
	GovtID          any    `json:"govtid,omitempty"`
	GovtIDExpired   *bool  `json:"govtid_Expired,omitempty"` // so spelled; absent: not shared
	Account         any    `json:"account,omitempty"`
}

// subjectHost ends every subject of this product.
const subjectHost = ".postern"

// Subject returns how the API names a person.
func Subject(env, person string) string { return person + "@" + env + subjectHost }

// ParseSubject takes a subject apart; ok is false for anything else.
func ParseSubject(subject string) (env, person string, ok bool) {
	person, env, ok = strings.Cut(subject, "@")
	if !ok || len(subject) > maxSubject {
		return "", "", false
	}
	env, ok = strings.CutSuffix(env, subjectHost)
	return env, person, ok && env != "" && person != ""
}

const maxSubject = 256

// Link returns the address that a person opens.
func Link(r store.Request) string { return r.Origin + LinkPath + "#" + r.Ticket }

// Document returns a request as the public API shows it, with what is shared now.
func (q *Requests) Document(ctx context.Context, tx *store.Tx, r store.Request) (Document, error) {
	d := Document{ID: r.ID, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, ExpiresAt: r.ExpiresAt, Ticket: r.Ticket, Link: Link(r), Env: r.Env,
		Template: r.Template, Label: r.Label, Scopes: append([]string{}, r.Scopes...), Claims: Public(r.Claims),
		Status: status(r, q.Now()), Progress: r.Progress, Source: r.Source}
	err := d.asker(ctx, tx, r)
	if err != nil {
		return d, err
	}
	if d.Phone, err = q.phoneOf(ctx, tx, r); err != nil || r.Person == "" {
		return d, err
	}
	d.Subject = Subject(r.Env, r.Person)
	if d.Status != Shared {
		d.PIIRemoved = d.Status == PersonDeleted
		return d, nil
	}
	shares, err := tx.Shares(ctx, r.Env, r.Person)
	i := slices.IndexFunc(shares, func(s store.Share) bool { return s.Request == r.ID })
	if err != nil || i >= 0 && ended(shares[i].ExpiresAt, q.Now()) {
		d.Status = ExpiredScopes
		return d, err
	}
	if i >= 0 {
		d.Browser, d.Mobile = clientOf(shares[i].Client)
	}
	if err := d.known(ctx, tx); err != nil {
		return d, err
	}
	all, err := tx.Properties(ctx, r.Env, r.Person)
	if err != nil {
		return d, err
	}
	for _, p := range all {
		if slices.Contains(r.Claims, p.Claim) {
			d.fill(p, q.Now())
		}
	}
	d.place(all, r, q.Now())
	d.SubjectText, d.Photo = d.Properties.Name, d.Properties.ProfilePicture
	return d, nil
}

// asker says who made the request, if somebody's own key did.
func (d *Document) asker(ctx context.Context, tx *store.Tx, r store.Request) error {
	if r.Requester == "" {
		return nil
	}
	env, err := tx.Environment(ctx, r.Env)
	if err != nil {
		return err
	}
	d.Requester = r.Requester
	who, err := tx.Staff(ctx, env.Org, r.Requester)
	if errors.Is(err, store.ErrNotFound) { // left meanwhile
		return nil
	}
	d.RequesterText = cmp.Or(who.Name, who.Mail)
	return err
}

// phoneOf returns the number to which the link is still to be sent, "" if none.
func (q *Requests) phoneOf(ctx context.Context, tx *store.Tx, r store.Request) (string, error) {
	s, err := tx.RequestSend(ctx, r.Env, r.ID)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil || s.Err != nil { // what does not open is not sent, and says no number
		return "", err
	}
	var m LinkMessage
	err = json.Unmarshal(s.Message, &m)
	return m.To, err
}

// maxBound bounds how many accounts of one person are looked at.
const maxBound = 50

// known says whether a person has accounts in directories, and the identifiers of those.
func (d *Document) known(ctx context.Context, tx *store.Tx) error {
	accounts, err := tx.Accounts(ctx, d.Env, store.AccountFilter{Subject: d.Subject, Count: maxBound})
	known, ids := len(accounts) > 0, []string(nil)
	for _, a := range accounts {
		ids = append(ids, a.Identifiers...)
	}
	slices.Sort(ids)
	d.KnownUser, d.ExternalIDs = &known, slices.Compact(ids)
	return err
}

func ended(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

func (d *Document) fill(p store.Property, now time.Time) {
	row, ok := claimByName(p.Claim)
	if !ok || row.legacy == nil || propertyStatus(p, now) != statusShared {
		return
	}
	if v, err := decodeValue(p.Value); err == nil {
		row.legacy(&d.Properties, v)
	}
}

// place says from where somebody shared, where that was asked for.
func (d *Document) place(all []store.Property, r store.Request, now time.Time) {
	i := slices.IndexFunc(all, func(p store.Property) bool { return p.Claim == IPLocation && propertyStatus(p, now) == statusShared })
	if i < 0 || !slices.Contains(r.Claims, IPLocation) {
		return
	}
	v, err := decodeValue(all[i].Value)
	if err != nil {
		return
	}
	from := seenIn(v)
	if d.Browser != nil {
		d.Browser.Address, d.Browser.Location = from.Address, from.Location
	}
	if d.Mobile != nil {
		d.Mobile.Address, d.Mobile.Location = from.Address, from.Location
	}
}

func decodeValue(b []byte) (v any, err error) { return v, json.Unmarshal(b, &v) }

// country returns an ISO 3166-1 alpha-3 code for an alpha-2 code, "" for none.
func country(code string) string {
	r, err := language.ParseRegion(code)
	if err != nil || !r.IsCountry() {
		return ""
	}
	return r.ISO3()
}
