package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/store"
)

// Roles of API keys, in the spelling of the wire: those of people in the console.
const (
	RoleOwner       = store.RoleOwner
	RoleAdmin       = store.RoleAdmin
	RoleUser        = store.RoleUser
	RoleLimitedPlus = store.RoleLimitedPlus
	RoleLimited     = store.RoleLimited
)

// Roles lists the roles from the least to the greatest.
var Roles = fromTheLeast(store.Roles)

func fromTheLeast(roles []string) []string {
	roles = slices.Clone(roles)
	slices.Reverse(roles)
	return roles
}

// roleReaches reports whether a role is at least another one. An unknown role reaches nothing.
func roleReaches(have, want string) bool { return store.AtLeast(have, want) }

// maxKey bounds what is taken for an API key, in bytes.
const maxKey = 256

// presentedKey returns the key that a request shows, as a Bearer token or as the
// password of Basic; "" for anything else. The user name of Basic is empty, or as in one
// published example the id of a client whose secret the key is.
func presentedKey(r *http.Request) (client, key string) {
	shown := r.Header.Values("Authorization")
	if len(shown) != 1 || len(shown[0]) > 2*maxKey {
		return "", ""
	}
	if user, key, ok := r.BasicAuth(); ok {
		return user, key
	}
	if isBearer(r) {
		_, key, _ := strings.Cut(shown[0], " ")
		return "", strings.TrimSpace(key)
	}
	return "", ""
}

// isBearer reports whether the request authenticates by a Bearer token.
func isBearer(r *http.Request) bool {
	scheme, _, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return ok && strings.EqualFold(scheme, "Bearer")
}

// authenticate finds the key.
func (c *call) authenticate(ctx context.Context, tx *store.Tx) error {
	client, text := presentedKey(c.r)
	if text == "" || len(text) > maxKey {
		return errUnauthorized
	}
	key, err := tx.APIKeyByHash(ctx, store.HashToken(text))
	if errors.Is(err, store.ErrNotFound) {
		return errUnauthorized
	}
	if err == nil && client != "" {
		err = isClientOf(ctx, tx, client, key)
	}
	if err == nil {
		c.key = key
	}
	return err
}

// isClientOf refuses a name that is not the id of an environment, or of a directory of
// one, that the key is for: these are the clients whose secrets keys are.
func isClientOf(ctx context.Context, tx *store.Tx, client string, key store.APIKey) error {
	env, err := tx.Environment(ctx, client)
	if errors.Is(err, store.ErrNotFound) {
		var d store.Directory
		if d, err = tx.DirectoryByID(ctx, client); err == nil {
			env, err = tx.Environment(ctx, d.Env)
		}
	}
	if errors.Is(err, store.ErrNotFound) || err == nil && (env.Org != key.Org || !key.Admits(env.ID)) {
		return errUnauthorized
	}
	return err
}
