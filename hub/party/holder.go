package party

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// MaxToken bounds an id_token that somebody shows, in bytes: one with every claim has
// about two thousand.
const MaxToken = 8 << 10

// ErrToken says that a token is none of ours that is still good.
var ErrToken = errors.New("party: not an id_token that was made here for an application and is still good")

// A Holder is somebody who shows an id_token that an application got about them.
type Holder struct {
	Env, Client string
	Person      string   // what the environment calls them
	Subject     string   // how the API names them
	origins     []string // of the application's pages
}

// HolderOf returns whom an id_token of the contract openid is about: signed by a key that
// its client publishes, for that client alone, of this issuer, not over, about a person of
// the client's own environment. It reads tx alone. Errors: ErrToken, or the store's.
func HolderOf(ctx context.Context, tx *store.Tx, issuer, token string) (Holder, error) {
	if len(token) > MaxToken {
		return Holder{}, ErrToken
	}
	claims := jwt.RegisteredClaims{}
	var of Party
	var trouble error
	parser := jwt.NewParser(jwt.WithValidMethods(Algorithms), jwt.WithStrictDecoding(), jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithTimeFunc(tx.Now))
	_, err := parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (key any, err error) {
		if len(claims.Audience) != 1 || t.Header["crit"] != nil {
			return nil, ErrToken
		}
		if of, err = application(ctx, tx, claims.Audience[0]); err == nil {
			key, err = PublicKeyOf(ctx, tx, of, t)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			trouble = err
		}
		return key, err
	})
	if trouble != nil {
		return Holder{}, trouble
	}
	env, person, ok := request.ParseSubject(claims.Subject)
	if err != nil || !ok || env != of.Env {
		return Holder{}, ErrToken
	}
	e, err := tx.Environment(ctx, env)
	if err != nil {
		return Holder{}, err
	}
	return Holder{Env: env, Client: of.ID, Person: person, Subject: claims.Subject, origins: OriginsOf(append(e.CallbackURLs, of.Settings.Redirects...))}, nil
}

// application returns a client of the contract openid.
func application(ctx context.Context, tx *store.Tx, id string) (Party, error) {
	row, err := tx.OIDCClientByID(ctx, id)
	if err != nil {
		return Party{}, err
	}
	c, err := load(ctx, tx, row)
	if err == nil && c.Terms.Contract != OpenID {
		err = store.ErrNotFound
	}
	return c, err
}

// At reports whether an origin, as browsers send it, is one of the application's: those
// of the environment's callback addresses, and of the client's own.
func (h Holder) At(origin string) bool { return slices.Contains(h.origins, origin) }

// OriginsOf returns the origins of addresses as browsers write them (RFC 6454 6.2).
func OriginsOf(addresses []string) (all []string) {
	for _, a := range addresses {
		u, err := url.Parse(a)
		if err != nil || u.Host == "" {
			continue
		}
		host := strings.ToLower(u.Host)
		if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
			host = strings.TrimSuffix(host, ":"+port)
		}
		all = append(all, u.Scheme+"://"+host)
	}
	return all
}
