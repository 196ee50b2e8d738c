package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/evaluation"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
	hooks "github.com/postern-id/postern/hub/webhook"
)

// A call is one request. What its path names has been found and belongs to an
// environment that the key is for, before the row's function runs.
type call struct {
	api   *API
	row   row
	w     http.ResponseWriter
	r     *http.Request
	query url.Values
	bent  error  // why the query is not read, nil if it is
	trace string // in the audit record, and in the log if it fails

	key       store.APIKey
	org       store.Organisation        // of the key
	body      any                       // *T of the row
	env       store.Environment         // of {env}, or of what the path names
	directory store.Directory           // of {directory}
	domain    store.Domain              // of {domain}
	agent     store.Agent               // of {agent}
	account   store.Account             // of {account}
	apikey    store.APIKey              // of {apikey}
	trust     store.TrustSource         // of {trust}
	request   store.Request             // of {request}
	template  store.Template            // of {template}
	person    string                    // of {subject}
	holder    party.Holder              // who asks, where it is the person themselves
	provider  store.IdentityProvider    // of {provider}
	run       evaluation.Run            // of {evaluation}
	client    store.OIDCClient          // of {client}
	delivery  store.Delivery            // of {delivery}
	event     store.AuditRow            // of {event}
	collector store.Destination         // of {destination}
	newKey    store.OIDCKey             // of a client, made before the transaction
	signing   []byte                    // the key of presigned links
	verdicts  map[binding]hooks.Verdict // of the account's own checks, before the transaction
	checked   map[string]bool           // environments, and whether they have such checks
	recorded  bool                      // the row has left records of its own
	concerns  string                    // row id of the account that the audit record is about, if it is one
	detail    map[string]any            // of the audit record, in place of request and response
	personal  map[string]string         // of the audit record
}

func newCall(a *API, row row, w http.ResponseWriter, r *http.Request) *call {
	query, err := url.ParseQuery(r.URL.RawQuery)
	return &call{api: a, row: row, w: w, r: r, query: query, bent: err, trace: store.NewID()}
}

// resolve finds what the path names, in the order from the outside in. What belongs to
// an environment that the key is not for does not exist, as far as the caller can see.
func (c *call) resolve(ctx context.Context, tx *store.Tx) error {
	for _, step := range []struct {
		name string
		find func(context.Context, *store.Tx, string) error
	}{
		{"env", c.findEnv}, {"directory", c.findDirectory}, {"domain", c.findDomain},
		{"agent", c.findAgent}, {"account", c.findAccount}, {"apikey", c.findAPIKey}, {"trust", c.findTrust}, {"provider", c.findProvider}, {"client", c.findClient}, {"evaluation", c.findEvaluation},
		{"request", c.findRequest}, {"template", c.findTemplate}, {"delivery", c.findDelivery}, {"event", c.findEvent}, {"destination", c.findDestination}, {"subject", c.findSubject},
	} {
		id := c.r.PathValue(step.name)
		if id == "" {
			continue
		}
		if err := step.find(ctx, tx, id); err != nil {
			return err
		}
	}
	return nil
}

// findEnv finds an environment that the key is for.
func (c *call) findEnv(ctx context.Context, tx *store.Tx, id string) error {
	env, err := tx.Environment(ctx, id)
	if err != nil {
		return err
	}
	if env.Org != c.key.Org || !c.key.Admits(env.ID) {
		return store.ErrNotFound
	}
	c.env = env
	return nil
}

func (c *call) findDirectory(ctx context.Context, tx *store.Tx, id string) (err error) {
	if c.directory, err = tx.DirectoryByID(ctx, id); err != nil {
		return err
	}
	return c.findEnv(ctx, tx, c.directory.Env)
}

func (c *call) findDomain(ctx context.Context, tx *store.Tx, name string) (err error) {
	if canonical, err := c.api.Domains.Canonical(name); err != nil || canonical != name {
		return store.ErrNotFound
	}
	if c.domain, err = tx.Domain(ctx, name); err != nil {
		return err
	}
	if c.domain.Env != c.env.ID {
		return store.ErrNotFound
	}
	return nil
}

func (c *call) findAgent(ctx context.Context, tx *store.Tx, id string) (err error) {
	if c.agent, err = tx.Agent(ctx, c.env.ID, id); err != nil {
		return err
	}
	if c.agent.Directory != c.directory.ID {
		return store.ErrNotFound
	}
	return nil
}

func (c *call) findAPIKey(ctx context.Context, tx *store.Tx, id string) (err error) {
	if c.apikey, err = tx.APIKey(ctx, c.key.Org, id); err != nil {
		return err
	}
	if !c.mayHold(c.apikey.Envs) {
		return store.ErrNotFound
	}
	return nil
}

// mayHold reports whether every one of these environments is in the key's reach.
func (c *call) mayHold(envs []string) bool { return store.Within(envs, c.key.Envs) }

// environments returns the environments that the key is for, oldest first.
func (c *call) environments(ctx context.Context, tx *store.Tx) ([]store.Environment, error) {
	all, err := tx.Environments(ctx, c.key.Org)
	return slices.DeleteFunc(all, func(e store.Environment) bool { return !c.key.Admits(e.ID) }), err
}

// chosen returns the environments of the parameter env, all that the key is for if it
// is absent. One that the key is not for is not found.
func (c *call) chosen(ctx context.Context, tx *store.Tx) ([]store.Environment, error) {
	ids := c.many("env")
	if len(ids) == 0 {
		return c.environments(ctx, tx)
	}
	var out []store.Environment
	for _, id := range ids {
		if err := c.findEnv(ctx, tx, id); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(out, func(e store.Environment) bool { return e.ID == c.env.ID }) {
			out = append(out, c.env)
		}
	}
	return out, nil
}

// maxUserAgent bounds what is kept of a User-Agent header, in bytes.
const maxUserAgent = 200

// record writes the audit event of the row.
func (c *call) record(ctx context.Context, tx *store.Tx, reply any) error {
	if c.row.kind == "" || c.recorded {
		return nil
	}
	return c.append(ctx, tx, reply)
}

// append writes an audit event of the row's kind.
func (c *call) append(ctx context.Context, tx *store.Tx, reply any) error {
	e := c.eventOf(c.row.kind, c.env.ID, c.details(reply))
	e.Account, e.Personal = c.concerns, c.personal
	return audit.Append(ctx, tx, e)
}

// eventOf is an audit event of the call: who asked, and from where.
func (c *call) eventOf(kind audit.Kind, env string, detail map[string]any) audit.Event {
	host, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		host = c.r.RemoteAddr
	}
	agent := c.r.UserAgent()
	return audit.Event{
		Org: c.key.Org, Env: env, Kind: kind, Trace: c.trace,
		Actor:  audit.Principal{Role: c.key.Role, APIKey: c.key.ID, Subject: c.holder.Subject},
		Person: c.holder.Person, RemoteAddr: host, UserAgent: agent[:min(len(agent), maxUserAgent)],
		Detail: detail,
	}
}

// redactor is implemented by bodies and replies that hold secrets.
type redactor interface{ redacted() any }

// details are the members of the audit record: what the path names, request, response.
func (c *call) details(reply any) map[string]any {
	if c.detail != nil {
		return c.detail
	}
	d := map[string]any{}
	for _, name := range []string{"directory", "account", "apikey", "agent", "domain", "template"} {
		if id := c.r.PathValue(name); id != "" {
			d[name] = id
		}
	}
	if c.account.ID != "" {
		d["account"], d["directory"] = c.account.ID, c.account.Directory
	}
	for name, v := range map[string]any{"request": c.body, "response": reply} {
		if r, ok := v.(redactor); ok {
			v = r.redacted()
		}
		if v != nil {
			d[name] = v
		}
	}
	return d
}

// as returns err, or with in its place if it is what.
func as(err, what, with error) error {
	if errors.Is(err, what) {
		return with
	}
	return err
}
