package hub

import (
	"context"
	"errors"
	"net/url"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// ErrNoPlace is returned by InviteStaff for a domain that is not a proven recovery domain.
var ErrNoPlace = errors.New("hub: not a proven recovery domain")

// operator is whoever runs a command on the machine of the hub.
var operator = audit.Principal{Role: staff.Owner, System: "command"}

// everything is what the operator may give.
func everything() staff.Reach {
	return staff.Reach{Role: staff.Owner, Envs: []string{store.AllEnvs}}
}

// InviteStaff makes an invitation, which is shown once: to the console, or, with a
// recovery domain and no role, to vouch for people there.
func InviteStaff(ctx context.Context, cfg Config, who store.Staff, domain string) (protocol.Secret, error) {
	s, _, err := openStore(ctx, cfg)
	if err != nil {
		return protocol.Secret{}, err
	}
	defer s.Close()
	at := staff.Place{Origin: cfg.PublicURL}
	err = s.Read(ctx, func(tx *store.Tx) error {
		if who.Org, err = firstOrganisation(ctx, tx); err != nil || domain == "" {
			return err
		}
		d, err := tx.Domain(ctx, domain)
		if err != nil || d.Proven.IsZero() {
			return errors.Join(ErrNoPlace, err)
		}
		at, err = placeOf(cfg, d)
		return err
	})
	if err != nil {
		return protocol.Secret{}, err
	}
	_, link, err := staffOf(s, cfg).Invite(ctx, who, at, everything(), operator)
	return link, err
}

// staffOf looks after staff for a command, which sends no mail.
func staffOf(s *store.Store, cfg Config) *staff.Members {
	return staff.New(staff.Config{Store: s, Log: cfg.Log, Console: func() string { return cfg.PublicURL }})
}

// placeOf is a recovery domain behind the edge of public_url.
func placeOf(cfg Config, d store.Domain) (staff.Place, error) {
	u, err := url.Parse(cfg.PublicURL)
	if err != nil {
		return staff.Place{}, err
	}
	origin := url.URL{Scheme: u.Scheme, Host: d.Name}
	if port := u.Port(); port != "" {
		origin.Host += ":" + port
	}
	return staff.Place{Env: d.Env, Origin: origin.String()}, nil
}

// Staff lists who works for the organisation or vouches for people.
func Staff(ctx context.Context, cfg Config) ([]store.Staff, error) {
	s, _, err := openStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return store.Get(ctx, s, func(tx *store.Tx) ([]store.Staff, error) {
		org, err := firstOrganisation(ctx, tx)
		if err != nil {
			return nil, err
		}
		return tx.StaffList(ctx, org)
	})
}

// ChangeStaff changes what a person may do in the console, and where.
func ChangeStaff(ctx context.Context, cfg Config, id string, to staff.Change) error {
	s, org, err := openOrganisation(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	return staffOf(s, cfg).Change(ctx, staff.Place{Origin: cfg.PublicURL}, org, id, to, everything(), operator)
}

// RemoveStaff removes a person with their passkeys and sessions.
func RemoveStaff(ctx context.Context, cfg Config, id string) error {
	s, org, err := openOrganisation(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	return staffOf(s, cfg).Remove(ctx, org, id, everything(), operator)
}

// openOrganisation opens the store, for the caller to close, and finds the organisation.
func openOrganisation(ctx context.Context, cfg Config) (*store.Store, string, error) {
	s, _, err := openStore(ctx, cfg)
	if err != nil {
		return nil, "", err
	}
	org, err := store.Get(ctx, s, func(tx *store.Tx) (string, error) { return firstOrganisation(ctx, tx) })
	if err != nil {
		s.Close()
	}
	return s, org, err
}

func firstOrganisation(ctx context.Context, tx *store.Tx) (string, error) {
	orgs, err := tx.Organisations(ctx)
	if err == nil && len(orgs) == 0 {
		err = errors.New("hub: nothing is installed yet; run postern init")
	}
	if err != nil {
		return "", err
	}
	return orgs[0].ID, nil
}
