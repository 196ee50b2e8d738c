package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// apiKey is the wire type APIKey.
type apiKey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	CreatedAt  time.Time  `json:"created_at"`
	CreatedBy  string     `json:"created_by,omitempty"` // member; absent: a program's key made it, or the installation
	Enabled    bool       `json:"enabled"`
	Envs       []string   `json:"envs"`
	Role       string     `json:"role" words:"role"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

// apiKeyList is the wire type ListAPIKeysResponse.
type apiKeyList struct {
	Keys []apiKey `json:"apikeys"`
}

func wireAPIKey(k store.APIKey) apiKey {
	return apiKey{k.ID, k.Name, k.Created, k.CreatedBy, k.Enabled, append([]string{}, k.Envs...), k.Role, at(k.Expires), at(k.LastUsed)}
}

// listAPIKeys answers with the keys whose environments are all within the caller's.
func listAPIKeys(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := tx.APIKeys(ctx, c.key.Org)
	out := []apiKey{}
	for _, k := range all {
		if c.mayHold(k.Envs) {
			out = append(out, wireAPIKey(k))
		}
	}
	return apiKeyList{out}, err
}

// getAPIKey answers with one key, never with its text.
func getAPIKey(_ context.Context, c *call, _ *store.Tx) (any, error) {
	return wireAPIKey(c.apikey), nil
}

// createAPIKeyRequest is the wire type CreateAPIKeyRequest.
type createAPIKeyRequest struct {
	Name      string     `json:"name,omitempty"`
	Enabled   *bool      `json:"enabled,omitempty"`           // absent: true
	Envs      []string   `json:"envs,omitempty"`              // absent: all, for callers who reach all
	Role      string     `json:"role,omitempty" words:"role"` // absent: user
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// createAPIKeyResponse is the wire type CreateAPIKeyResponse.
type createAPIKeyResponse struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

// redacted implements redactor.
func (r createAPIKeyResponse) redacted() any { return createAPIKeyResponse{r.ID, redactedSecret} }

// createAPIKey makes a key, which is shown this once.
func createAPIKey(ctx context.Context, c *call, tx *store.Tx, req *createAPIKeyRequest) (any, error) {
	text := store.NewAPIKey()
	k := store.APIKey{Org: c.key.Org, Name: req.Name, Hash: store.HashToken(text), Role: RoleUser, Envs: req.Envs, Enabled: true, CreatedBy: cmp.Or(c.key.Staff, c.key.CreatedBy)}
	set(&k.Enabled, req.Enabled)
	if req.ExpiresAt != nil {
		if k.Expires = *req.ExpiresAt; store.Millis(k.Expires) == 0 {
			return nil, errNoEnd
		}
	}
	if req.Role != "" {
		k.Role = req.Role
	}
	if req.Envs != nil && len(req.Envs) == 0 { // a list that a script found nothing for is not all of them
		return nil, errNoEnvs
	}
	if len(k.Envs) == 0 {
		k.Envs = []string{store.AllEnvs}
	}
	if k.Name == "" {
		k.Name = "API key"
	}
	if err := c.checkAPIKey(ctx, tx, k); err != nil {
		return nil, err
	}
	k, err := tx.CreateAPIKey(ctx, k)
	return createAPIKeyResponse{k.ID, text}, err
}

// checkAPIKey refuses a key that could do more than the one that makes or changes it.
func (c *call) checkAPIKey(ctx context.Context, tx *store.Tx, k store.APIKey) error {
	if err := checkText("name", k.Name); err != nil {
		return err
	}
	if !slices.Contains(Roles, k.Role) {
		return bad(fmt.Sprintf("role: %.40q is none of %s", k.Role, strings.Join(Roles, ", ")))
	}
	if !roleReaches(c.key.Role, k.Role) {
		return bad("role: greater than that of the key that asks")
	}
	if slices.Equal(k.Envs, c.apikey.Envs) { // as it was: one of them may have been removed since
		return nil
	}
	return c.checkEnvs(ctx, tx, k.Envs)
}

// checkEnvs refuses a list of environments that reaches further than the key that gives it.
func (c *call) checkEnvs(ctx context.Context, tx *store.Tx, envs []string) error {
	if slices.Contains(envs, store.AllEnvs) {
		if !c.key.Admits(store.AllEnvs) {
			return bad(`envs: name the environments; "*" needs a key that is for all of them`)
		}
		return nil
	}
	for _, id := range envs {
		if err := c.findEnv(ctx, tx, id); err != nil {
			return as(err, store.ErrNotFound, bad(fmt.Sprintf("envs: %.40q is not an environment that this key is for", id)))
		}
	}
	c.env = store.Environment{}
	return nil
}

// updateAPIKeyRequest is the wire type APIKeyUpdateRequest.
type updateAPIKeyRequest struct {
	Name      *string             `json:"name,omitempty"`
	Enabled   *bool               `json:"enabled,omitempty"`
	Role      *string             `json:"role,omitempty" words:"role"`
	Envs      *[]string           `json:"envs,omitempty"`
	ExpiresAt optional[time.Time] `json:"expires_at,omitzero"` // null: never
}

// errNoEnvs refuses an empty list where one is given, and a key that works for none.
var errNoEnvs = bad(`envs: name at least one environment, or "*"`)

// errNoEnd refuses the two times that stand for none where keys are kept: the key would never
// end.
var errNoEnd = bad("expires_at: want when the key ends; leave it out, or where a key is changed say null, for one that does not end")

// updateAPIKey changes what is given of a key that can do no more than the caller's.
func updateAPIKey(ctx context.Context, c *call, tx *store.Tx, req *updateAPIKeyRequest) (any, error) {
	if !roleReaches(c.key.Role, c.apikey.Role) {
		return nil, errForbidden
	}
	k := c.apikey
	set(&k.Name, req.Name)
	set(&k.Enabled, req.Enabled)
	set(&k.Role, req.Role)
	set(&k.Envs, req.Envs)
	if req.ExpiresAt.Given {
		if k.Expires = req.ExpiresAt.Value; !req.ExpiresAt.Null && store.Millis(k.Expires) == 0 {
			return nil, errNoEnd
		}
	}
	if len(k.Envs) == 0 && (req.Envs != nil || k.Enabled) {
		return nil, errNoEnvs
	}
	if err := cmp.Or(withinApproval(c.apikey, k), c.checkAPIKey(ctx, tx, k)); err != nil {
		return nil, err
	}
	return nil, tx.UpdateAPIKey(ctx, c.key.Org, k)
}

// withinApproval refuses to give the key of a command line more than a member of the staff
// approved with their passkey: another approval does that (T32).
func withinApproval(had, k store.APIKey) error {
	longer := k.Expires.IsZero() || k.Expires.After(had.Expires)
	wider := slices.ContainsFunc(k.Envs, func(e string) bool { return !had.Admits(e) })
	if had.Staff == "" || !longer && !wider && roleReaches(had.Role, k.Role) {
		return nil
	}
	return bad("expires_at, role, envs: this is the key of a command line, which gets no more than was approved in the console: sign it in again with postern auth login")
}

// deleteAPIKey removes a key that can do no more than the caller's.
func deleteAPIKey(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	if !roleReaches(c.key.Role, c.apikey.Role) {
		return nil, errForbidden
	}
	return nil, tx.DeleteAPIKey(ctx, c.key.Org, c.apikey.ID)
}
