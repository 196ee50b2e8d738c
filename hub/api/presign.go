package api

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/protocol"
)

// presignRequest is the wire type RecoveryMicrositePresignRequest, with ours.
type presignRequest struct {
	Email       string                              `json:"email,omitempty"`
	TTL         policy.Duration                     `json:"ttl"`
	Operations  []protocol.Action                   `json:"operations,omitempty"`
	Directories []string                            `json:"directories,omitempty"`
	Flow        string                              `json:"flow,omitempty" words:"flow"`
	Policy      map[protocol.Action]policy.Strength `json:"recovery_policy,omitempty"`
	OneShot     bool                                `json:"one_shot,omitempty"` // ours
	Domain      string                              `json:"domain,omitempty"`   // ours: which of the environment's domains
}

// presigned is the wire type RecoveryMicrositePresignResponse.
type presigned struct {
	URL string `json:"url"`
}

// signing is what one environment says of its links, read before a link is made: a store is
// not asked within its own transaction.
type signing struct {
	key  []byte
	life time.Duration
}

// PresignKey implements token.Keys.
func (s signing) PresignKey(context.Context, string) ([]byte, error) { return s.key, nil }

// LinkLife implements token.Keys.
func (s signing) LinkLife(context.Context, string) (time.Duration, error) { return s.life, nil }

// signingKey reads the key of the environment's links, which makes it at its first use.
func signingKey(ctx context.Context, c *call) (err error) {
	c.signing, err = c.api.Store.PresignKey(ctx, c.env.ID)
	return err
}

// presign signs a link from a JSON body.
func presign(ctx context.Context, c *call, tx *store.Tx, req *presignRequest) (any, error) {
	site, err := c.siteOf(ctx, tx, req.Domain)
	if err != nil {
		return nil, err
	}
	for _, d := range req.Directories {
		if _, err := tx.Directory(ctx, c.env.ID, d); err != nil {
			return nil, as(err, store.ErrNotFound, bad("directories: not a directory of this environment"))
		}
	}
	links := token.Links{Keys: signing{c.signing, c.env.Microsite.LinkLife}}
	text, link, err := links.Mint(ctx, token.Issue{Env: c.env.ID, Owner: c.key.Role == RoleOwner, Request: token.Request{
		Email: req.Email, TTL: req.TTL, Operations: req.Operations, Directories: req.Directories, Flow: req.Flow, Policy: req.Policy, OneShot: req.OneShot,
	}})
	switch {
	case errors.Is(err, token.ErrOwner):
		return nil, bad(`email: only a key of the role owner signs a link for any address ("*")`)
	case errors.Is(err, token.ErrRequest):
		return nil, bad(strings.TrimPrefix(err.Error(), token.ErrRequest.Error()+": "))
	case err != nil:
		return nil, err
	}
	c.recordLink(link)
	return presigned{site + "/?id_token=" + text}, nil
}

// recordLink says in the audit record what the link admits to, never the link.
func (c *call) recordLink(l token.Link) {
	c.detail = map[string]any{
		"link": l.ID, "expires_at": l.Expires.UTC().Format(time.RFC3339), "any_email": l.Email == token.AnyEmail, "one_shot": l.OneShot,
		"operations": l.Operations, "directories": l.Directories, "flow": l.Flow, "recovery_policy": l.Policy,
	}
	c.personal = nil
	if l.Email != token.AnyEmail {
		c.personal = map[string]string{"email": l.Email}
	}
}

// siteOf returns the origin of one of the environment's proven domains: the one named,
// else the first.
func (c *call) siteOf(ctx context.Context, tx *store.Tx, name string) (string, error) {
	all, err := tx.Domains(ctx, c.env.ID)
	if err != nil {
		return "", err
	}
	for _, d := range all {
		if !d.Proven.IsZero() && (name == "" || strings.EqualFold(name, d.Name)) {
			return c.api.Origin(d.Name), nil
		}
	}
	if name != "" {
		return "", bad("domain: not a proven domain of this environment")
	}
	return "", bad("this environment has no proven recovery domain; register one with POST /api/envs/" + url.PathEscape(c.env.ID) + "/domains")
}

// presignQuery signs a link from query parameters, the form of the public reference.
func presignQuery(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	req, err := c.presignParameters()
	if err != nil {
		return nil, err
	}
	return presign(ctx, c, tx, req)
}

func (c *call) presignParameters() (*presignRequest, error) {
	req := &presignRequest{Email: c.text("email"), Flow: c.text("flow"), Directories: c.many("directory")}
	for _, o := range c.many("operation") {
		req.Operations = append(req.Operations, protocol.Action(o))
	}
	ttl := c.text("ttl")
	if ttl == "" {
		return req, nil
	}
	var err error
	if req.TTL, err = policy.ParseDuration(ttl); err != nil {
		return nil, bad("ttl: want a duration such as 1h30m")
	}
	return req, nil
}
