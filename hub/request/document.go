package request

import (
	"context"
	"encoding/json"
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
	ID          string     `json:"id"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	ExpiresAt   time.Time  `json:"expires_at"`
	Ticket      string     `json:"ticket"`
	Link        string     `json:"link"`
	Env         string     `json:"env"`
	Template    string     `json:"template"`
	Label       string     `json:"label"`
	Scopes      []string   `json:"scopes"`
	Claims      []string   `json:"claims"`
	Status      string     `json:"status"`
	Progress    string     `json:"progress"`
	Subject     string     `json:"subject,omitempty"`
	SubjectText string     `json:"subject_text,omitempty"`
	Properties  Properties `json:"properties"`
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
	GovtID         any    `json:"govtid,omitempty"`
	GovtIDExpired  bool   `json:"govtid_Expired,omitempty"` // so spelled
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
	if r.Person == "" {
		return d, nil
	}
	d.Subject = Subject(r.Env, r.Person)
	if d.Status != Shared {
		d.PIIRemoved = d.Status == PersonDeleted
		return d, nil
	}
	over, err := q.over(ctx, tx, r)
	if err != nil || over {
		d.Status = ExpiredScopes
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
	d.SubjectText = d.Properties.Name
	return d, nil
}

// over reports whether what was shared in a request may not be read any more.
func (q *Requests) over(ctx context.Context, tx *store.Tx, r store.Request) (bool, error) {
	all, err := tx.Shares(ctx, r.Env, r.Person)
	i := slices.IndexFunc(all, func(s store.Share) bool { return s.Request == r.ID })
	return i >= 0 && ended(all[i].ExpiresAt, q.Now()), err
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

func decodeValue(b []byte) (v any, err error) { return v, json.Unmarshal(b, &v) }

// country returns an ISO 3166-1 alpha-3 code for an alpha-2 code, "" for none.
func country(code string) string {
	r, err := language.ParseRegion(code)
	if err != nil || !r.IsCountry() {
		return ""
	}
	return r.ISO3()
}
