package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
)

// directoryOut is the wire type Directory, with ours.
type directoryOut struct {
	ID   string `json:"id"`
	Env  string `json:"env"`
	Kind string `json:"kind" words:"kind"`
	Name string `json:"name"`

	Authenticate policy.Rules `json:"authenticate_policy"`
	MFA          policy.Rules `json:"mfa_policy"`
	Password     policy.Rules `json:"password_policy"`
	AccessPass   policy.Rules `json:"temporary_access_pass_policy"`
	Unlock       policy.Rules `json:"unlock_policy"`

	AccessPassMinutes  int               `json:"temporary_access_pass_lifetime_minutes,omitempty"`
	AccessPassReusable bool              `json:"temporary_access_pass_reusable"`
	RateLimit          *policy.RateLimit `json:"recovery_operation_rate_limit,omitempty"`

	LastSyncStartedAt   *time.Time `json:"last_sync_started_at,omitempty"`
	LastSyncCompletedAt *time.Time `json:"last_sync_completed_at,omitempty"`
	LastSyncError       string     `json:"last_sync_error,omitempty"`
	Count               int        `json:"count"`
	NeedsReconnect      bool       `json:"needs_reconnect"`
	SyncRunning         bool       `json:"sync_running"`
	BirthDateSecret     bool       `json:"birth_date_hmac_secret_exists"`

	CanGetMFABypassCode       bool `json:"can_get_mfa_bypass_code"`
	CanGetMFALink             bool `json:"can_get_mfa_link"`
	CanGetPasswordLink        bool `json:"can_get_password_link"`
	CanGetTemporaryAccessPass bool `json:"can_get_temporary_access_pass"`
	CanGetTemporaryPassword   bool `json:"can_get_temporary_password"`
	CanRemoveAllMFA           bool `json:"can_remove_all_mfa"`
	CanUnlock                 bool `json:"can_unlock"`
	CanUpdateAccountsList     bool `json:"can_update_accounts_list"`

	LogoURL string `json:"logo_url,omitempty"`

	Methods       policy.Methods     `json:"methods"`        // ours
	ResetOptions  []policy.ResetRule `json:"reset_options"`  // ours: methods as three switches, where they can be read so
	Native        bool               `json:"native"`         // ours: an agent is enrolled, so there is no agent token
	AllowUnsealed bool               `json:"allow_unsealed"` // ours
	Sync          syncOut            `json:"sync"`           // ours
}

// syncOut is the progress of a directory's synchronisation.
type syncOut struct {
	Listed   int           `json:"listed"`
	Expected int           `json:"expected,omitempty"`
	Rate     float64       `json:"per_second,omitempty"`
	Question *syncQuestion `json:"question,omitempty"` // what an administrator must confirm
}

// syncQuestion is why a synchronisation waits.
type syncQuestion struct {
	Reason  string    `json:"reason"` // shrink, fingerprint
	Asked   time.Time `json:"asked"`
	Missing int       `json:"missing,omitempty"`
	Of      int       `json:"of,omitempty"`
}

func (c *call) wireDirectory(d store.Directory, now time.Time) (directoryOut, error) {
	s, err := directory.Settings(d)
	if err != nil {
		return directoryOut{}, err
	}
	t := d.Traits
	out := directoryOut{
		ID: d.ID, Env: d.Env, Kind: d.Kind, Name: d.Name,
		Authenticate: rules(s, "authenticate_policy"), MFA: rules(s, "mfa_policy"), Password: rules(s, "password_policy"),
		AccessPass: rules(s, "temporary_access_pass_policy"), Unlock: rules(s, "unlock_policy"),
		AccessPassMinutes: s.AccessPassMinutes, AccessPassReusable: s.AccessPassReusable, RateLimit: s.Limit,
		LastSyncStartedAt: at(d.Sync.Started), LastSyncCompletedAt: at(d.Sync.Completed), LastSyncError: d.Sync.Error,
		Count: d.Sync.Count, NeedsReconnect: d.Sync.NeedsReconnect, SyncRunning: d.Sync.Running(now), BirthDateSecret: d.HasBirthDateKey,
		CanGetMFABypassCode: t.CanGetMFABypassCode, CanGetMFALink: t.CanGetMFALink, CanGetPasswordLink: t.CanGetPasswordLink,
		CanGetTemporaryAccessPass: t.CanGetTemporaryAccessPass, CanGetTemporaryPassword: t.CanGetTemporaryPassword,
		CanRemoveAllMFA: t.CanRemoveAllMFA, CanUnlock: t.CanUnlock, CanUpdateAccountsList: t.CanUpdateAccountsList,
		LogoURL: c.logoURL(d.Logo), Methods: s.Methods, ResetOptions: s.Methods.ResetRules(), Native: !d.NativeSince.IsZero(), AllowUnsealed: d.Settings.AllowUnsealed,
		Sync: syncOut{Listed: d.Sync.Listed, Expected: d.Sync.Expected},
	}
	if out.SyncRunning {
		out.Sync.Rate = d.Sync.Rate()
	}
	if p := d.Sync.Pending; p.Reason != "" && !p.Confirmed {
		out.Sync.Question = &syncQuestion{p.Reason, p.Asked, p.Missing, p.Of}
	}
	return out, nil
}

// rules returns a policy with a list, never null.
func rules(s policy.Settings, name string) policy.Rules {
	r := s.Policies[name]
	if r.Groups == nil {
		r.Groups = []policy.GroupRule{}
	}
	return r
}

// directoryList is the wire type GetDirectoriesResponse.
type directoryList struct {
	Directories []directoryOut `json:"directories"`
}

// listDirectories answers with the directories of one, several or all environments.
func listDirectories(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	envs, err := c.chosen(ctx, tx)
	if err != nil {
		return nil, as(err, store.ErrNotFound, bad("env: not an environment that this key is for"))
	}
	out := []directoryOut{}
	for _, e := range envs {
		all, err := tx.Directories(ctx, e.ID)
		if err != nil {
			return nil, err
		}
		for _, d := range all {
			w, err := c.wireDirectory(d, tx.Now())
			if err != nil {
				return nil, err
			}
			out = append(out, w)
		}
	}
	return directoryList{out}, nil
}

// getDirectory answers with one directory.
func getDirectory(_ context.Context, c *call, tx *store.Tx) (any, error) {
	return c.wireDirectory(c.directory, tx.Now())
}

// Kinds of directories that may be made. A custom one begins with a token for an agent
// of the public protocol; the others wait for an agent of ours.
const (
	kindCustom = "custom"
	kindAgent  = "agent"
)

var kinds = []string{kindCustom, kindAgent, "ad", "ldap", "command", "demo"}

// createDirectoryRequest is the wire type CreateDirectoryRequest.
type createDirectoryRequest struct {
	Env         string       `json:"env"`
	Kind        string       `json:"kind" words:"kind"`
	Credentials *credentials `json:"credentials,omitempty"`
	Name        string       `json:"name,omitempty"` // ours; absent: what the agent says
}

// credentials is the wire type Credentials, for directories that the hub reaches itself.
type credentials struct {
	Account       string `json:"account,omitempty"`
	ApplicationID string `json:"application_id,omitempty"`
	Partition     string `json:"partition"`
	RealmID       string `json:"realm_id,omitempty"`
	Secret        string `json:"secret"`
	TenantID      string `json:"tenant_id,omitempty"`
}

// redacted implements redactor.
func (r *createDirectoryRequest) redacted() any {
	out := *r
	if out.Credentials != nil {
		out.Credentials = &credentials{Partition: r.Credentials.Partition, Secret: redactedSecret}
	}
	return out
}

// createDirectoryResponse is the wire type CreateDirectoryResponse.
type createDirectoryResponse struct {
	ID         string `json:"id"`
	AgentToken string `json:"agent_token,omitempty"`
}

// redacted implements redactor.
func (r createDirectoryResponse) redacted() any {
	if r.AgentToken != "" {
		r.AgentToken = redactedSecret
	}
	return r
}

// createDirectory makes a directory with the settings of a new one, written out.
func createDirectory(ctx context.Context, c *call, tx *store.Tx, req *createDirectoryRequest) (any, error) {
	if !slices.Contains(kinds, req.Kind) {
		return nil, bad(fmt.Sprintf("kind: %.40q cannot be served by this hub; it serves %s, each through an agent in your network", req.Kind, strings.Join(kinds, ", ")))
	}
	if req.Credentials != nil {
		return nil, bad("credentials: the agent holds them; leave them out")
	}
	if req.Name == "" {
		req.Name = "Directory"
	}
	if err := checkText("name", req.Name); err != nil {
		return nil, err
	}
	if err := c.findEnv(ctx, tx, req.Env); err != nil {
		return nil, as(err, store.ErrNotFound, bad("env: not an environment that this key is for"))
	}
	set, err := directory.Store(policy.Default(), store.DirectorySettings{})
	if err != nil {
		return nil, err
	}
	d, err := tx.CreateDirectory(ctx, store.Directory{Env: req.Env, Kind: req.Kind, Name: req.Name, Settings: set})
	if err != nil || req.Kind != kindCustom {
		return createDirectoryResponse{ID: d.ID}, err
	}
	token := store.NewToken()
	return createDirectoryResponse{d.ID, token}, tx.SetLegacyToken(ctx, d.Env, d.ID, store.HashToken(token))
}

// errNoCredentials is what is said of credentials: every kind of directory here is
// reached by its agent, which holds them in the customer's network (T1).
var errNoCredentials = bad("this directory is served by its agent, which holds the credentials in its own file; there is nothing to authorize here. To enrol an agent use POST /api/directories/{directory}/agent-tickets")

// noAuthorization says that the directory is authorized nowhere.
func noAuthorization(context.Context, *call, *store.Tx) (any, error) { return nil, errNoCredentials }

// refuseCredentials takes none: what is not needed is not kept.
func refuseCredentials(context.Context, *call, *store.Tx, *credentials) (any, error) {
	return nil, errNoCredentials
}

// redacted implements redactor.
func (c *credentials) redacted() any {
	return &credentials{Partition: c.Partition, Secret: redactedSecret}
}

// updateDirectoryRequest is the wire type UpdateDirectoryRequest, with ours.
type updateDirectoryRequest struct {
	Authenticate       *policy.Rules              `json:"authenticate_policy,omitempty"`
	MFA                *policy.Rules              `json:"mfa_policy,omitempty"`
	Password           *policy.Rules              `json:"password_policy,omitempty"`
	AccessPass         *policy.Rules              `json:"temporary_access_pass_policy,omitempty"`
	Unlock             *policy.Rules              `json:"unlock_policy,omitempty"`
	AccessPassMinutes  *int                       `json:"temporary_access_pass_lifetime_minutes,omitempty"`
	AccessPassReusable *bool                      `json:"temporary_access_pass_reusable,omitempty"`
	BirthDateSecret    *string                    `json:"birth_date_hmac_secret,omitempty"`
	RateLimit          optional[policy.RateLimit] `json:"recovery_operation_rate_limit,omitzero"` // null: none
	Name               *string                    `json:"name,omitempty"`                         // ours
	Methods            *policy.Methods            `json:"methods,omitempty"`                      // ours
	ResetOptions       []policy.ResetRule         `json:"reset_options,omitempty"`                // ours: written into methods
	AllowUnsealed      *bool                      `json:"allow_unsealed,omitempty"`               // ours
}

// redacted implements redactor.
func (u *updateDirectoryRequest) redacted() any {
	out := *u
	if u.BirthDateSecret != nil {
		hidden := redactedSecret
		out.BirthDateSecret = &hidden
	}
	return &out
}

// given are the policies of the request by name, nil where one is not given.
func (u *updateDirectoryRequest) given() map[string]*policy.Rules {
	return map[string]*policy.Rules{
		"authenticate_policy": u.Authenticate, "mfa_policy": u.MFA, "password_policy": u.Password,
		"temporary_access_pass_policy": u.AccessPass, "unlock_policy": u.Unlock,
	}
}

// apply changes what is given.
func (u *updateDirectoryRequest) apply(s *policy.Settings) {
	for name, r := range u.given() {
		if r != nil {
			s.Policies[name] = *r
		}
	}
	set(&s.AccessPassMinutes, u.AccessPassMinutes)
	set(&s.AccessPassReusable, u.AccessPassReusable)
	set(&s.Methods, u.Methods)
	for _, r := range u.ResetOptions {
		s.Methods.SetReset(r.Group, r.ResetOptions)
	}
	if u.RateLimit.Given {
		s.Limit = &u.RateLimit.Value
	}
	if u.RateLimit.Null {
		s.Limit = nil
	}
}

// updateDirectory changes policies, methods and limits.
func updateDirectory(ctx context.Context, c *call, tx *store.Tx, req *updateDirectoryRequest) (any, error) {
	d := c.directory
	s, err := directory.Settings(d)
	if err != nil {
		return nil, err
	}
	req.apply(&s)
	if d.Settings, err = directory.Store(s, d.Settings); err != nil {
		return nil, bad(strings.TrimPrefix(err.Error(), "policy: "))
	}
	set(&d.Name, req.Name)
	set(&d.Settings.AllowUnsealed, req.AllowUnsealed)
	if err := checkText("name", d.Name); err != nil {
		return nil, err
	}
	if err := tx.UpdateDirectory(ctx, d); err != nil || req.BirthDateSecret == nil {
		return nil, err
	}
	return nil, setBirthDateSecret(ctx, tx, d, *req.BirthDateSecret)
}

// Sizes of the key of birth-date hashes, in bytes.
const (
	minBirthDateSecret = 16
	maxBirthDateSecret = 256
)

func setBirthDateSecret(ctx context.Context, tx *store.Tx, d store.Directory, text string) error {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) < minBirthDateSecret || len(key) > maxBirthDateSecret {
		return bad(fmt.Sprintf("birth_date_hmac_secret: want %d to %d bytes in base64", minBirthDateSecret, maxBirthDateSecret))
	}
	return tx.SetBirthDateKey(ctx, d.Env, d.ID, key)
}

// deleteDirectory removes a directory with its accounts and agents.
func deleteDirectory(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	return nil, tx.DeleteDirectory(ctx, c.env.ID, c.directory.ID)
}

// nothing is for rows that do everything afterwards.
func nothing(context.Context, *call, *store.Tx) (any, error) { return nil, nil }

// syncDirectory asks for a pass. Progress shows in the directory.
func syncDirectory(ctx context.Context, c *call, _ any) (any, error) {
	return nil, c.api.Sync.SyncNow(ctx, c.env.ID, c.directory.ID)
}

// confirmSync answers the question that stopped a directory's synchronisation; the pass
// that follows does what was held back. A confirmation that nobody asked for is refused:
// it would be for whatever is asked next.
func confirmSync(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	p, err := tx.ConfirmSync(ctx, c.env.ID, c.directory.ID)
	if err != nil {
		return nil, as(err, store.ErrNoQuestion, bad("the synchronisation of this directory asks nothing"))
	}
	c.detail = map[string]any{"directory": c.directory.ID, "reason": p.Reason, "missing": p.Missing, "of": p.Of}
	return nil, nil
}

// agentToken is the wire type RegenerateDirectoryAgentTokenResponse.
type agentToken struct {
	ID         string `json:"id"`
	AgentToken string `json:"agent_token"`
}

// redacted implements redactor.
func (a agentToken) redacted() any { return agentToken{a.ID, redactedSecret} }

// regenerateToken makes a new token for agents of the public protocol; the former one
// ends. A directory with an enrolled agent has none (T24).
func regenerateToken(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	if !c.directory.NativeSince.IsZero() || c.directory.Kind != kindCustom {
		return nil, bad("this directory is served by enrolled agents, which have keys of their own; make a ticket with POST /api/directories/{directory}/agent-tickets")
	}
	token := store.NewToken()
	err := tx.SetLegacyToken(ctx, c.env.ID, c.directory.ID, store.HashToken(token))
	return agentToken{c.directory.ID, token}, err
}
