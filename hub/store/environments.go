package store

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// An Organisation owns environments, API keys and administrators.
type Organisation struct {
	ID, Name string
	Allowed  []netip.Prefix // from where it is administered; none: from everywhere
	Created  time.Time
}

// Admits reports whether the organisation may be administered from an address.
func (o Organisation) Admits(from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	return len(o.Allowed) == 0 || slices.ContainsFunc(o.Allowed, func(p netip.Prefix) bool { return p.Contains(from) })
}

// CreateOrganisation writes a new organisation. An empty ID is filled in.
func (tx *Tx) CreateOrganisation(ctx context.Context, o Organisation) (Organisation, error) {
	o.ID, o.Created = orNew(o.ID), tx.Now()
	_, err := tx.Exec(ctx, "INSERT INTO organisations (id, name, allowed_addresses, created_at) VALUES ($1, $2, $3, $4)", o.ID, o.Name, prefixes(o.Allowed), Millis(o.Created))
	return o, err
}

// UpdateOrganisation writes the name and from where it is administered.
func (tx *Tx) UpdateOrganisation(ctx context.Context, o Organisation) error {
	return tx.Must(ctx, "UPDATE organisations SET name = $2, allowed_addresses = $3 WHERE id = $1", o.ID, o.Name, prefixes(o.Allowed))
}

func prefixes(all []netip.Prefix) string { return JSON(append([]netip.Prefix{}, all...)) }

const organisationColumns = "id, name, allowed_addresses, created_at"

func scanOrganisation(scan Scan) (o Organisation, err error) {
	var created int64
	var allowed string
	if err = scan(&o.ID, &o.Name, &allowed, &created); err == nil {
		err = ParseJSON(allowed, &o.Allowed)
	}
	o.Created = Time(created)
	return o, err
}

// Organisation returns one organisation.
func (tx *Tx) Organisation(ctx context.Context, org string) (Organisation, error) {
	return One(ctx, tx, scanOrganisation, "SELECT "+organisationColumns+" FROM organisations WHERE id = $1", org)
}

// Organisations returns every organisation of the installation, oldest first.
func (tx *Tx) Organisations(ctx context.Context) ([]Organisation, error) {
	return All(ctx, tx, scanOrganisation, "SELECT "+organisationColumns+" FROM organisations ORDER BY created_at, id")
}

// An Environment is what a recovery domain belongs to: directories, their accounts and
// the settings of its microsite.
type Environment struct {
	ID, Org    string
	Name       string // for administrators
	PublicName string // for employees
	Microsite  Microsite
	// CallbackURLs are where the environment's OpenID clients may send people back to,
	// in the order in which they were given. They are compared text for text.
	CallbackURLs      []string
	TermsOfServiceURL string // empty: none
	Created           time.Time
	Updated           time.Time
}

// Microsite holds the settings of an environment's recovery site.
type Microsite struct {
	RequirePresigned bool
	Languages        []string      // BCP 47, the first is the default; empty: all that the catalogue has
	Accent           string        // #rrggbb; empty: the product's
	RequestMails     int           // a day, to addresses that people who answer requests type in; 0: DefaultRequestMails
	LinkLife         time.Duration // of presigned links, at most; whole seconds, 0: the product's
	Logo             string        // sum of the logo of kind mobile; empty: none. SetLogo changes it
}

// orNew gives a row without an id a new one.
func orNew(id string) string {
	if id == "" {
		return NewID()
	}
	return id
}

// CreateEnvironment writes a new environment, with a template: one is always the default. An
// empty ID is filled in.
func (tx *Tx) CreateEnvironment(ctx context.Context, e Environment) (Environment, error) {
	e.ID, e.Created, e.Updated = orNew(e.ID), tx.Now(), tx.Now()
	m := e.Microsite
	_, err := tx.Exec(ctx, `INSERT INTO environments (id, org, name, public_name, require_presigned, languages, accent, callback_urls, terms_url, created_at, updated_at, request_mails, link_life)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12)`,
		e.ID, e.Org, e.Name, e.PublicName, Flag(m.RequirePresigned), JSON(m.Languages), m.Accent, JSON(e.CallbackURLs), e.TermsOfServiceURL, Millis(e.Created), m.RequestMails, int64(m.LinkLife/time.Second))
	if err != nil {
		return e, err
	}
	return e, tx.AddTemplate(ctx, &Template{Env: e.ID, Name: firstTemplate, Body: []byte(firstTemplateBody)})
}

// What the template that an environment begins with is, as the migration writes it, too. It
// asks for nothing: what to ask people for is nobody's to guess.
const (
	firstTemplate     = "Default"
	firstTemplateBody = `{"enabled":true,"max_usages":1}`
)

const environmentColumns = `id, org, name, public_name, require_presigned, languages, accent,
	COALESCE((SELECT sum FROM env_logos WHERE env_logos.env = environments.id AND kind = 'mobile'), ''), callback_urls, terms_url, created_at, updated_at, request_mails, link_life`

func scanEnvironment(scan Scan) (e Environment, err error) {
	var created, updated, life int64
	var languages, callbacks string
	m := &e.Microsite
	err = scan(&e.ID, &e.Org, &e.Name, &e.PublicName, &m.RequirePresigned, &languages, &m.Accent, &m.Logo, &callbacks, &e.TermsOfServiceURL, &created, &updated, &m.RequestMails, &life)
	if err == nil {
		err = errors.Join(ParseJSON(languages, &m.Languages), ParseJSON(callbacks, &e.CallbackURLs))
	}
	e.Created, e.Updated, m.LinkLife = Time(created), Time(updated), time.Duration(life)*time.Second
	return e, err
}

// OrganisationOf returns the organisation of an environment, which never changes.
func (tx *Tx) OrganisationOf(ctx context.Context, env string) (string, error) {
	return recalled(tx, "org\x00"+env, func() (org string, err error) {
		err = tx.Row(ctx, []any{&org}, "SELECT org FROM environments WHERE id = $1", env)
		return org, err
	})
}

// Environment returns one environment.
func (tx *Tx) Environment(ctx context.Context, env string) (Environment, error) {
	return One(ctx, tx, scanEnvironment, "SELECT "+environmentColumns+" FROM environments WHERE id = $1", env)
}

// Environments returns the environments of an organisation, oldest first.
func (tx *Tx) Environments(ctx context.Context, org string) ([]Environment, error) {
	return All(ctx, tx, scanEnvironment, "SELECT "+environmentColumns+" FROM environments WHERE org = $1 ORDER BY created_at, id", org)
}

// UpdateEnvironment writes names, addresses and microsite settings, without the logo.
func (tx *Tx) UpdateEnvironment(ctx context.Context, e Environment) error {
	m := e.Microsite
	return tx.Must(ctx, `UPDATE environments SET name = $2, public_name = $3, require_presigned = $4, languages = $5, accent = $6,
		callback_urls = $7, terms_url = $8, updated_at = $9, request_mails = $10, link_life = $11 WHERE id = $1`,
		e.ID, e.Name, e.PublicName, Flag(m.RequirePresigned), JSON(m.Languages), m.Accent, JSON(e.CallbackURLs), e.TermsOfServiceURL, Millis(tx.Now()), m.RequestMails, int64(m.LinkLife/time.Second))
}

// DeleteEnvironment removes an environment with everything that belongs to it. Its
// domains are removed as by RemoveDomain, so nobody else can take them for a year.
// Audit rows stay. Nobody's list of environments has it any more, and API keys that were
// for nothing else are switched off.
func (tx *Tx) DeleteEnvironment(ctx context.Context, env string) error {
	if err := tx.leaveEnvironment(ctx, env); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "UPDATE domains SET removed_at = $2, proven_at = 0 WHERE env = $1 AND removed_at = 0", env, Millis(tx.Now()))
	if err != nil {
		return err
	}
	if err := tx.Must(ctx, "DELETE FROM environments WHERE id = $1", env); err != nil {
		return err
	}
	_, err = tx.removeAccounts(ctx, "env = $1", env)
	return err
}
