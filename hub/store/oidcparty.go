package store

import "context"

// An OIDCParty is a relying party with what its requests need of its environment and its
// organisation, in one query and as it stands in the rows. Two that are equal mean the
// same, so that whoever reads one again and again parses it once.
type OIDCParty struct {
	Env, ID   string
	Version   int64
	Contract  string
	Directory string
	Settings  string // see OIDCClient
	Secrets   string // JSON of []OIDCSecret
	CreatedAt int64  // Millis

	Org       string // of the environment
	OrgName   string
	Allowed   string // JSON of Organisation.Allowed
	Callbacks string // JSON of Environment.CallbackURLs
	Orphan    int64  // 1: its directory was removed
	Standard  string // name of the template that is the default of its environment
	Body      string // see Template, of that one
}

const (
	oidcPartyColumns = `c.env, c.id, c.version, c.contract, c.directory, c.settings, c.secrets, c.created_at, e.org, o.name, o.allowed_addresses, e.callback_urls,
		CASE WHEN c.directory <> '' AND NOT EXISTS (SELECT 1 FROM directories d WHERE d.env = c.env AND d.id = c.directory) THEN 1 ELSE 0 END,
		COALESCE(t.name, ''), COALESCE(t.body, '')`
	oidcPartyTables = `oidc_clients c JOIN environments e ON e.id = c.env JOIN organisations o ON o.id = e.org
		LEFT JOIN templates t ON t.env = c.env AND t.is_default = 1`
)

// columns are where the columns of a query go.
func (p *OIDCParty) columns() []any {
	return []any{&p.Env, &p.ID, &p.Version, &p.Contract, &p.Directory, &p.Settings, &p.Secrets, &p.CreatedAt, &p.Org, &p.OrgName, &p.Allowed, &p.Callbacks, &p.Orphan, &p.Standard, &p.Body}
}

// OIDCPartyByID finds a relying party by its client_id, which names its environment.
func (tx *Tx) OIDCPartyByID(ctx context.Context, id string) (OIDCParty, error) {
	return recalled(tx, "party\x00"+id, func() (p OIDCParty, err error) {
		err = tx.Row(ctx, p.columns(), "SELECT "+oidcPartyColumns+" FROM "+oidcPartyTables+" WHERE c.id = $1", id)
		return p, err
	})
}

// OIDCParty returns one.
func (tx *Tx) OIDCParty(ctx context.Context, env, id string) (OIDCParty, error) {
	return recalled(tx, "party\x00"+env+"\x00"+id, func() (p OIDCParty, err error) {
		err = tx.Row(ctx, p.columns(), "SELECT "+oidcPartyColumns+" FROM "+oidcPartyTables+" WHERE c.env = $1 AND c.id = $2", env, id)
		return p, err
	})
}

// OIDCExchangeOf finds an exchange by its id and the hash of the secret by which it goes on,
// with its relying party.
func (tx *Tx) OIDCExchangeOf(ctx context.Context, id, hash string) (OIDCExchange, OIDCParty, error) {
	if e, ok := tx.keptExchange(id); ok {
		return tx.withParty(ctx, e, e.Secret == hash)
	}
	return tx.direct().exchangeAndParty(ctx, "x.id = $1 AND x.secret_hash = $2", id, hash)
}

// OIDCExchangeWith returns one, with its relying party.
func (tx *Tx) OIDCExchangeWith(ctx context.Context, env, id string) (OIDCExchange, OIDCParty, error) {
	if e, ok := tx.keptExchange(id); ok {
		return tx.withParty(ctx, e, e.Env == env)
	}
	return tx.direct().exchangeAndParty(ctx, "x.env = $1 AND x.id = $2", env, id)
}

// withParty adds the relying party of an exchange that is kept, if it is the one that was asked for.
func (tx *Tx) withParty(ctx context.Context, e OIDCExchange, asked bool) (OIDCExchange, OIDCParty, error) {
	if !asked {
		return OIDCExchange{}, OIDCParty{}, ErrNotFound
	}
	p, err := tx.OIDCParty(ctx, e.Env, e.Client)
	return e, p, err
}

func (tx *Tx) exchangeAndParty(ctx context.Context, condition string, args ...any) (e OIDCExchange, p OIDCParty, err error) {
	e, err = One(ctx, tx, func(scan Scan) (OIDCExchange, error) {
		return tx.scanOIDCExchange(func(dest ...any) error { return scan(append(dest, p.columns()...)...) })
	}, `SELECT x.env, x.id, x.version, x.client, x.state, x.secret_hash, x.browser, x.access_hash, x.private, x.expires_at, x.created_at, `+oidcPartyColumns+`
		FROM `+oidcPartyTables+` JOIN oidc_exchanges x ON x.env = c.env AND x.client = c.id WHERE `+condition, args...)
	return e, p, err
}

// Client is the relying party itself.
func (p OIDCParty) Client() (OIDCClient, error) {
	c := OIDCClient{Env: p.Env, ID: p.ID, Version: p.Version, Contract: p.Contract, Directory: p.Directory, Settings: []byte(p.Settings), CreatedAt: Time(p.CreatedAt)}
	err := ParseJSON(p.Secrets, &c.Secrets)
	return c, err
}

// Organisation is the one that its environment belongs to, without when it was made.
func (p OIDCParty) Organisation() (Organisation, error) {
	o := Organisation{ID: p.Org, Name: p.OrgName}
	err := ParseJSON(p.Allowed, &o.Allowed)
	return o, err
}

// CallbackURLs are those of its environment.
func (p OIDCParty) CallbackURLs() (all []string, err error) {
	err = ParseJSON(p.Callbacks, &all)
	return all, err
}

// A SealedOIDCKey is a key whose private part is closed, or lies outside.
type SealedOIDCKey struct {
	Env, ID     string
	Algorithm   string
	Private     string // see OpenOIDCKey; "": it lies outside
	Fingerprint string // of one that lies outside
	Public      string // likewise: JSON Web Key
	ActiveFrom  int64  // Millis
}

// SealedOIDCKeys lists the keys of a client as OIDCKeys does, without opening them.
func (tx *Tx) SealedOIDCKeys(ctx context.Context, env, client string) ([]SealedOIDCKey, error) {
	return recalledAll(tx, "keys\x00"+env+"\x00"+client, func() ([]SealedOIDCKey, error) {
		return All(ctx, tx, func(scan Scan) (k SealedOIDCKey, err error) {
			err = scan(&k.Env, &k.ID, &k.Algorithm, &k.Private, &k.Fingerprint, &k.Public, &k.ActiveFrom)
			return k, err
		}, "SELECT env, id, algorithm, private, fingerprint, CASE WHEN fingerprint = '' THEN '' ELSE public END, active_from FROM oidc_keys WHERE env = $1 AND client = $2 ORDER BY active_from DESC, id", env, client)
	})
}

// OpenOIDCKey returns the private part, PKCS #8.
func (s *Store) OpenOIDCKey(k SealedOIDCKey) ([]byte, error) {
	return s.Unseal(oidcKeyCell(k.Env, k.ID), k.Private)
}
