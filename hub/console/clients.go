package console

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// Addresses of those who ask here who somebody is.
const (
	clientsPath = settingsPath + "/{env}/clients"
	clientPath  = clientsPath + "/{client}"
)

// newClient begins the name of a new one in addresses; its contract follows.
const newClient = "new-"

// clientSize bounds the form of a client: it may bring a key set.
const clientSize = 64 << 10

// asking is one who asks, on their page or in the list.
type asking struct {
	ID        string // "": new
	Contract  party.Contract
	Directory string // its id
	Of        string // its name
	Version   int64
	Secrets   []time.Time // when each was made, the newest first
	Keys      []party.KeyView
	Addresses party.Addresses
	Fields    []field
	Secret    string // shown once
	HasSecret bool   // it proves itself by one
	Outside   bool   // its next key may lie outside of the hub
	party.Settings
}

// Rotating reports whether a key is published that does not sign yet.
func (a *asking) Rotating() bool {
	return slices.ContainsFunc(a.Keys, func(k party.KeyView) bool { return k.State == party.KeyNext })
}

// Contracts lists the ways in which somebody can ask.
func (*screen) Contracts() []string { return party.Contracts() }

func (v *visit) askers() {
	ctx, cancel := v.context()
	defer cancel()
	p := new(settingsPage)
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		p.Clients = nil
		if p.Env, err = v.environment(ctx, tx); err != nil {
			return err
		}
		rows, err1 := tx.Directories(ctx, p.Env.ID)
		all, err2 := tx.OIDCClients(ctx, p.Env.ID)
		for _, c := range all {
			one, err := v.asking(c, rows)
			if err != nil {
				return err
			}
			p.Clients = append(p.Clients, *one)
		}
		return errors.Join(err1, err2)
	})
	if err != nil {
		v.fail(err)
		return
	}
	v.showSettings("clients", "client.title", p)
}

func (v *visit) asking(c store.OIDCClient, rows []store.Directory) (*asking, error) {
	contract := party.Contract(c.Contract)
	a := &asking{ID: c.ID, Contract: contract, Directory: c.Directory, Version: c.Version,
		Addresses: party.AddressesOf(contract, strings.TrimSuffix(v.console.cfg.Origin(), "/"))}
	for _, s := range c.Secrets {
		a.Secrets = append(a.Secrets, s.AddedAt)
	}
	if i := slices.IndexFunc(rows, func(d store.Directory) bool { return d.ID == c.Directory }); i >= 0 {
		a.Of = nameOf(rows[i])
	}
	err := json.Unmarshal(c.Settings, &a.Settings)
	a.HasSecret, a.Outside = party.HasSecret(contract, a.Settings), v.console.cfg.Signer.Named()
	return a, err
}

func (v *visit) asker() {
	ctx, cancel := v.context()
	defer cancel()
	v.showClient(ctx, new(settingsPage), nil, "")
}

// keptClient returns the one of the address, or a new one of the contract that is named.
func (v *visit) keptClient(ctx context.Context, tx *store.Tx, env string) (store.OIDCClient, error) {
	c, fresh := v.freshClient()
	if !fresh {
		return tx.OIDCClient(ctx, env, v.r.PathValue("client"))
	}
	c.Env = env
	return c, nil
}

// freshClient returns an empty one, if the address is that of a new one.
func (v *visit) freshClient() (store.OIDCClient, bool) {
	name, fresh := strings.CutPrefix(v.r.PathValue("client"), newClient)
	contract, known := party.ContractByName(name)
	return store.OIDCClient{Contract: string(contract), Settings: []byte("{}")}, fresh && known
}

// showClient shows the page with what stands, or with what was typed; secret was made just
// now.
func (v *visit) showClient(ctx context.Context, p *settingsPage, typed *party.Draft, secret string) {
	var rows []store.Directory
	var domains []store.Domain
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if p.Env, err = v.environment(ctx, tx); err != nil {
			return err
		}
		c, err := v.keptClient(ctx, tx, p.Env.ID)
		if err != nil {
			return err
		}
		var err1, err2, err3, err4 error
		rows, err1 = tx.Directories(ctx, p.Env.ID)
		domains, err2 = tx.Domains(ctx, p.Env.ID)
		p.Client, err3 = v.asking(c, rows)
		p.Client.Keys, err4 = party.Keys(ctx, tx, p.Env.ID, c.ID)
		return errors.Join(err1, err2, err3, err4)
	})
	if err != nil {
		v.fail(err)
		return
	}
	a := p.Client
	a.Secret = secret
	d := party.Draft{ClientID: a.ID, Contract: a.Contract, Directory: a.Directory, Settings: a.Settings}
	if typed != nil {
		d = *typed
	}
	a.Fields = v.worded("client.", p, v.clientFields(d, a.ID == "", p.Env.ID, rows, domains))
	v.showSettings("client", "client.one", p)
}

// saveClient makes or changes one who asks, or their secrets and keys, or ends them.
func (v *visit) saveClient() {
	ctx, cancel := v.context()
	defer cancel()
	switch v.field("do") {
	case "save":
		v.keepClient(ctx)
	case "secret":
		v.secretOfClient(ctx)
	case "end":
		v.changeClient(ctx, nil, "removed", func(tx *store.Tx, c *store.OIDCClient) (map[string]any, error) {
			return map[string]any{"end_old_secrets": true}, party.EndSecrets(ctx, tx, c)
		})
	case "rotate":
		v.rotateClient(ctx)
	case "remove":
		v.removeClient(ctx)
	default:
		v.fail(errNoPage)
	}
}

// changeClient does something to the one of the address, if that is still as the form was
// made for, with an audit row. Then it leads back to the page, or shows it with what is
// wrong. then, if any, answers in place of that.
func (v *visit) changeClient(ctx context.Context, then func(), done string, change func(*store.Tx, *store.OIDCClient) (map[string]any, error)) {
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		e, err := v.environment(ctx, tx)
		if err != nil {
			return err
		}
		c, err := tx.OIDCClient(ctx, e.ID, v.r.PathValue("client"))
		if err != nil {
			return err
		}
		if strconv.FormatInt(c.Version, 10) != v.field("as") {
			return errStale // and loading the page of a new secret again makes no other one
		}
		request, err := change(tx, &c)
		if err != nil {
			return err
		}
		return v.decided(ctx, tx, e.ID, audit.EnvUpdated, map[string]any{"oidc_client": c.ID, "request": request})
	})
	p := new(settingsPage)
	switch w := (*party.Wrong)(nil); {
	case errors.As(err, &w):
		v.wrong(p, w.Field, "client."+w.Field, "why", v.why(w.Text))
		v.showClient(ctx, p, nil, "")
	case errors.Is(err, errStale), errors.Is(err, store.ErrConflict):
		v.wrong(p, "page", "stale")
		v.showClient(ctx, p, nil, "")
	case err != nil:
		v.fail(err)
	case then != nil:
		then()
	default:
		v.done(v.r.URL.Path, done)
	}
}

func (v *visit) secretOfClient(ctx context.Context) {
	var made string
	v.changeClient(ctx, func() { v.showClient(ctx, new(settingsPage), nil, made) }, "", func(tx *store.Tx, c *store.OIDCClient) (map[string]any, error) {
		secret, err := party.NewSecret(ctx, tx, c)
		if errors.Is(err, party.ErrSecrets) {
			return nil, errNoPage
		}
		made = secret.Reveal()
		return map[string]any{"new_secret": true}, err
	})
}

// rotateClient publishes the next key, which is made before the transaction: that must
// not wait for it.
func (v *visit) rotateClient(ctx context.Context) {
	c, err := store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) (store.OIDCClient, error) {
		e, err := v.environment(ctx, tx)
		if err != nil {
			return store.OIDCClient{}, err
		}
		return tx.OIDCClient(ctx, e.ID, v.r.PathValue("client"))
	})
	if err != nil {
		v.fail(err)
		return
	}
	key, made := v.nextKey(ctx, c)
	if w := (*party.Wrong)(nil); made != nil && !errors.As(made, &w) {
		v.fail(made)
		return
	}
	v.changeClient(ctx, nil, "rotated", func(tx *store.Tx, c *store.OIDCClient) (map[string]any, error) {
		if made != nil {
			return nil, made
		}
		err := party.Rotate(ctx, tx, c.Env, c.ID, key)
		if errors.Is(err, party.ErrRotating) {
			return nil, errStale
		}
		return party.Rotation(key), err
	})
}

// nextKey makes a client's next key, or finds the one outside of the hub that was typed.
func (v *visit) nextKey(ctx context.Context, c store.OIDCClient) (store.OIDCKey, error) {
	var s party.Settings
	if err := json.Unmarshal(c.Settings, &s); err != nil {
		return store.OIDCKey{}, err
	}
	now, fingerprint := v.console.cfg.Store.Now(), v.text("external")
	if fingerprint == "" {
		return party.NewKey(party.Contract(c.Contract), s, now)
	}
	key, err := party.OutsideKey(ctx, v.console.cfg.Signer, party.Contract(c.Contract), s, fingerprint, now)
	if errors.Is(err, party.ErrSigner) {
		v.console.cfg.Log.WarnContext(ctx, "a signing key outside of the hub cannot be looked at", "key", fingerprint, "error", err)
		err = &party.Wrong{Field: "external", Text: "the signer does not answer; the hub's log says why"}
	}
	return key, err
}

// removeClient ends all that somebody may ask. Their name is typed, so that it is not
// another's.
func (v *visit) removeClient(ctx context.Context) {
	v.changeClient(ctx, func() { v.done(v.clientsAddress(), "removed") }, "", func(tx *store.Tx, c *store.OIDCClient) (map[string]any, error) {
		var s party.Settings
		if err := json.Unmarshal(c.Settings, &s); err != nil {
			return nil, err
		}
		if v.text("confirm") != s.Name {
			return nil, &party.Wrong{Field: "confirm"}
		}
		return map[string]any{"remove": s.Name}, tx.RemoveOIDCClient(ctx, c.Env, c.ID)
	})
}

func (v *visit) clientsAddress() string {
	return settingsPath + "/" + v.r.PathValue("env") + "/clients"
}

// keepClient makes a client, or changes the one of the address.
func (v *visit) keepClient(ctx context.Context) {
	p := new(settingsPage)
	var d party.Draft
	var id string
	key, err := v.keyOfClient()
	if err == nil {
		err = v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) (err error) {
			p.Problems = nil
			d, id, err = v.takeClient(ctx, tx, key)
			return err
		})
	}
	switch w := (*party.Wrong)(nil); {
	case errors.As(err, &w):
		field, _, _ := strings.Cut(w.Field, ",")
		v.wrong(p, field, "client."+field, "why", v.why(w.Text))
	case errors.Is(err, errStale), errors.Is(err, store.ErrConflict) && id != "":
		v.wrong(p, "page", "stale")
		v.showClient(ctx, p, nil, "")
		return
	case errors.Is(err, store.ErrConflict):
		v.wrong(p, "page", "client.full")
	case err != nil:
		v.fail(err)
		return
	default:
		v.done(v.clientsAddress()+"/"+id, "saved")
		return
	}
	v.showClient(ctx, p, &d, "")
}

// takeClient writes what was typed, and returns it with the client's id: "" of a new one
// that was not written.
func (v *visit) takeClient(ctx context.Context, tx *store.Tx, key store.OIDCKey) (d party.Draft, id string, err error) {
	e, err := v.environment(ctx, tx)
	if err != nil {
		return d, "", err
	}
	c, err := v.keptClient(ctx, tx, e.ID)
	if err != nil {
		return d, "", err
	}
	if d, err = v.clientTyped(c); err != nil {
		return d, c.ID, err
	}
	if c.ID != "" && strconv.FormatInt(c.Version, 10) != v.field("as") {
		return d, c.ID, errStale
	}
	id, err = v.writeClient(ctx, tx, c, d, key)
	return d, id, err
}

// keyOfClient makes the first key of a new client, before the transaction.
func (v *visit) keyOfClient() (key store.OIDCKey, err error) {
	c, fresh := v.freshClient()
	if !fresh {
		return key, nil
	}
	d, err := v.clientTyped(c)
	if err != nil || d.Check(d.Contract) != nil { // it is refused later, in words
		return key, err
	}
	return party.NewKey(d.Contract, d.Settings, v.console.cfg.Store.Now())
}

func (v *visit) writeClient(ctx context.Context, tx *store.Tx, c store.OIDCClient, d party.Draft, key store.OIDCKey) (id string, err error) {
	of := d
	if c.ID != "" && c.ID != c.Env && c.ID != c.Directory {
		of.ClientID = "" // it was made for them
	}
	if err := of.CheckIn(ctx, tx, c.Env); err != nil {
		return c.ID, err
	}
	if c.ID == "" {
		var made store.OIDCClient
		if made, err = party.Add(ctx, tx, c.Env, d.ClientID, d.Contract, d.Directory, d.Settings, key); err == nil {
			c = made // until then it has no id
		}
	} else {
		err = party.Change(ctx, tx, &c, d.Directory, d.Settings)
	}
	if err != nil {
		return c.ID, err
	}
	return c.ID, v.decided(ctx, tx, c.Env, audit.EnvUpdated, map[string]any{"oidc_client": c.ID,
		"request": map[string]any{"contract": c.Contract, "directory": d.Directory, "settings": d.Settings}})
}
