package console

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/provider"
)

// Providers asks outside identity providers.
type Providers interface {
	Probe(ctx context.Context, issuer string) provider.Found
}

// outside is one provider in the list.
type outside struct {
	ID string
	provider.Settings
	Of []string // names of the directories that it is for
}

// provided is the page of one provider, or of a new one.
type provided struct {
	ID string // "": new
	provider.Settings
	Secret      bool // one is kept; it is never shown
	Directories []store.Directory
	Redirects   []string
	Found       *provider.Found // what a test found
}

// For reports whether the provider is for a directory.
func (p *provided) For(id string) bool { return slices.Contains(p.Settings.Directories, id) }

// Joined writes words as they are typed.
func (p *provided) Joined(words []string) string { return strings.Join(words, " ") }

// newProvider is the name of a new one in addresses.
const newProvider = "new"

// providerSize bounds the form of a provider: it may bring a key.
const providerSize = 64 << 10

func (v *visit) providers() {
	ctx, cancel := v.context()
	defer cancel()
	p := new(settingsPage)
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		p.Providers = nil
		if p.Env, err = v.environment(ctx, tx); err != nil {
			return err
		}
		rows, err1 := tx.Directories(ctx, p.Env.ID)
		all, err2 := tx.IdentityProviders(ctx, p.Env.ID)
		for _, row := range all {
			c := outside{ID: row.ID}
			if err := json.Unmarshal(row.Body, &c.Settings); err != nil {
				return err
			}
			c.Settings = c.Shown()
			for _, d := range rows {
				if slices.Contains(c.Directories, d.ID) {
					c.Of = append(c.Of, nameOf(d))
				}
			}
			p.Providers = append(p.Providers, c)
		}
		return errors.Join(err1, err2)
	})
	if err != nil {
		v.fail(err)
		return
	}
	v.showSettings("providers", "set.providers.title", p)
}

func (v *visit) provider() {
	ctx, cancel := v.context()
	defer cancel()
	v.showProvider(ctx, new(settingsPage), nil, nil)
}

// showProvider shows the page with what stands, or with what was typed.
func (v *visit) showProvider(ctx context.Context, p *settingsPage, typed *provider.Settings, found *provider.Found) {
	one := &provided{ID: v.r.PathValue("provider"), Found: found}
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if p.Env, err = v.environment(ctx, tx); err != nil {
			return err
		}
		if one.Settings, err = v.kept(ctx, tx, p.Env.ID); err != nil {
			return err
		}
		one.Secret = one.ClientSecret != "" || one.PrivateKey != ""
		one.Redirects = nil
		domains, err := tx.Domains(ctx, p.Env.ID)
		for _, d := range domains {
			one.Redirects = append(one.Redirects, v.console.cfg.SiteOrigin(d.Name)+provider.ReturnPath)
		}
		if err == nil {
			one.Directories, err = tx.Directories(ctx, p.Env.ID)
		}
		return err
	})
	if err != nil {
		v.fail(err)
		return
	}
	if typed != nil {
		one.Settings = *typed
	}
	one.Settings = one.Shown()
	if one.ID == newProvider {
		one.ID = ""
	}
	p.Provider = one
	v.showSettings("provider", "set.provider.title", p)
}

// kept returns the settings of the provider of the address; none of a new one.
func (v *visit) kept(ctx context.Context, tx *store.Tx, env string) (s provider.Settings, err error) {
	id := v.r.PathValue("provider")
	if id == newProvider {
		return s, nil
	}
	row, err := tx.IdentityProvider(ctx, env, id)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(row.Body, &s); err != nil {
		return s, err
	}
	if s.Auth == provider.AuthBasic { // which is what no word stands for
		s.Auth = ""
	}
	return s, nil
}

// saveProvider keeps, removes or tests a provider.
func (v *visit) saveProvider() {
	ctx, cancel := v.context()
	defer cancel()
	switch v.field("do") {
	case "save":
		v.keepProvider(ctx)
	case "remove":
		v.removeProvider(ctx)
	case "test":
		v.testProvider(ctx)
	default:
		v.fail(errNoPage)
	}
}

// providerTyped reads the form. A secret that was not typed again stays, unless it would be sent
// to somebody else than before.
func (v *visit) providerTyped(old provider.Settings) provider.Settings {
	text := func(name string) string { return strings.TrimSpace(v.field(name)) }
	s := provider.Settings{
		Name: text("name"), Issuer: text("issuer"), ClientID: text("client_id"), Auth: text("client_auth"), ClientSecret: text("client_secret"),
		PrivateKey: text("private_key"), KeyID: text("key_id"), Audience: text("assertion_audience"),
		Scopes: strings.Fields(v.field("scopes")), ACR: strings.Fields(v.field("acr")), AMR: strings.Fields(v.field("amr")),
		Verified: v.checked("verified_claims"), Requests: v.checked("requests"), OtherTenant: v.checked("other_tenant"), Directories: v.r.PostForm["directory"],
	}
	for _, name := range []string{"given_name", "family_name", "birthdate"} {
		if other := text("claim_" + name); other != "" {
			if s.Claims == nil {
				s.Claims = map[string]string{}
			}
			s.Claims[name] = other
		}
	}
	if s.ClientSecret == "" && s.PrivateKey == "" && s.Issuer == old.Issuer && s.ClientID == old.ClientID && s.Auth == old.Auth {
		s.ClientSecret, s.PrivateKey = old.ClientSecret, old.PrivateKey
	}
	return s
}

func (v *visit) keepProvider(ctx context.Context) {
	p, id := new(settingsPage), ""
	var s provider.Settings
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		id, s, err = v.changeProvider(ctx, tx)
		return err
	})
	switch w := (*provider.Wrong)(nil); {
	case errors.As(err, &w):
		v.wrong(p, w.Field, "provider."+w.Field, "why", v.why(w.Text))
		v.showProvider(ctx, p, &s, nil)
	case errors.Is(err, errFull):
		v.wrong(p, "page", "provider.full")
		v.showProvider(ctx, p, &s, nil)
	case err != nil:
		v.fail(err)
	default:
		v.done(v.providersAddress()+"/"+id, "saved")
	}
}

// changeProvider keeps what was typed, and returns it with the id of the provider; errFull
// where there is no room for another one.
func (v *visit) changeProvider(ctx context.Context, tx *store.Tx) (id string, s provider.Settings, err error) {
	e, err := v.environment(ctx, tx)
	if err != nil {
		return "", s, err
	}
	old, err := v.kept(ctx, tx, e.ID)
	if err != nil {
		return "", s, err
	}
	s = v.providerTyped(old)
	if err := s.CheckIn(ctx, tx, e.ID, v.host.Name()); err != nil {
		return "", s, err
	}
	row := store.IdentityProvider{Env: e.ID, ID: v.r.PathValue("provider"), Body: []byte(store.JSON(s))}
	request := "replace_identity_provider"
	if row.ID == newProvider {
		request, row.ID = "add_identity_provider", ""
		err = tx.AddIdentityProvider(ctx, &row)
	} else {
		err = tx.SaveIdentityProvider(ctx, row)
	}
	if errors.Is(err, store.ErrConflict) {
		err = errFull
	}
	if err != nil {
		return "", s, err
	}
	return row.ID, s, v.decided(ctx, tx, e.ID, audit.EnvUpdated, map[string]any{"request": map[string]any{request: s.Shown()}, "identity_provider": row.ID})
}

func (v *visit) providersAddress() string {
	return settingsPath + "/" + v.r.PathValue("env") + "/providers"
}

func (v *visit) removeProvider(ctx context.Context) {
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		e, err := v.environment(ctx, tx)
		if err != nil {
			return err
		}
		id := v.r.PathValue("provider")
		if err := tx.RemoveIdentityProvider(ctx, e.ID, id); err != nil {
			return err
		}
		return v.decided(ctx, tx, e.ID, audit.EnvUpdated, map[string]any{"request": map[string]any{"remove_identity_provider": id}, "identity_provider": id})
	})
	if err != nil {
		v.fail(err)
		return
	}
	v.done(v.providersAddress(), "removed")
}

// testProvider asks the provider now, and shows what it says of itself. It changes
// nothing.
func (v *visit) testProvider(ctx context.Context) {
	s, err := store.Get(ctx, v.console.cfg.Store, func(tx *store.Tx) (provider.Settings, error) {
		e, err := v.environment(ctx, tx)
		if err != nil {
			return provider.Settings{}, err
		}
		return v.kept(ctx, tx, e.ID)
	})
	if err != nil || s.Issuer == "" {
		v.fail(errors.Join(err, errNoPage))
		return
	}
	found := v.console.cfg.Providers.Probe(ctx, s.Issuer)
	v.showProvider(ctx, new(settingsPage), nil, &found)
}
