package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// Bounds of a bulk question.
const (
	maxBulk  = 1024 // people; the published advice is 512
	bulkSize = 512 << 10
)

// findSubject finds a person by their subject, which names its environment.
func (c *call) findSubject(ctx context.Context, tx *store.Tx, subject string) error {
	if c.byPerson() {
		return c.findHolder(ctx, tx)
	}
	env, person, ok := request.ParseSubject(subject)
	if !ok {
		return store.ErrNotFound
	}
	if err := c.findEnv(ctx, tx, env); err != nil {
		return err
	}
	found, err := tx.Person(ctx, env, person)
	c.person = found.ID
	return err
}

// getProperties answers with what a person shares.
func getProperties(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	scopes, names, err := splitClaims(c.r.PathValue("scopes"))
	if err != nil {
		return nil, err
	}
	return c.api.Requests.Disclose(ctx, tx, c.env.ID, c.person, request.Want(scopes, names))
}

// revokeProperties gives back what a person shared.
func revokeProperties(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	scopes, names, err := splitClaims(c.r.PathValue("scopes"))
	if err != nil {
		return nil, err
	}
	names = append([]string{}, request.Asked(scopes, names)...)
	c.detail = map[string]any{"claims": names, "subject": request.Subject(c.env.ID, c.person)}
	return nil, c.api.Requests.Revoke(ctx, tx, c.env.ID, c.person, names, c.byPerson())
}

// erasePerson destroys the key of a person.
func erasePerson(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"subject": c.r.PathValue("subject")}
	return nil, c.api.Requests.Erase(ctx, tx, c.env.ID, c.person)
}

// bulkRequest is the wire type BulkRequest.
type bulkRequest struct {
	Requests []bulkItem `json:"requests"`
}

type bulkItem struct {
	Subject string   `json:"subject"`
	Scopes  []string `json:"scopes,omitempty" words:"scope"`
	Claims  []string `json:"claims" words:"claim"`
}

// bulkResponse is the wire type BulkResponse.
type bulkResponse struct {
	Data []request.Disclosed `json:"data"`
}

// bulkProperties answers for several people. Of somebody who is not known nothing is
// shared.
func bulkProperties(ctx context.Context, c *call, tx *store.Tx, req *bulkRequest) (any, error) {
	if len(req.Requests) > maxBulk {
		return nil, bad(fmt.Sprintf("requests: at most %d people at once", maxBulk))
	}
	data := make([]request.Disclosed, 0, len(req.Requests))
	for _, item := range req.Requests {
		if err := checkAsked(item.Scopes, item.Claims); err != nil {
			return nil, err
		}
		wanted := request.Want(item.Scopes, item.Claims)
		d := request.Nobody(item.Subject, wanted)
		err := c.findSubject(ctx, tx, item.Subject)
		if err == nil {
			d, err = c.api.Requests.Disclose(ctx, tx, c.env.ID, c.person, wanted)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		data = append(data, d)
	}
	return bulkResponse{data}, nil
}

// eraseHistory destroys the key under which the audit log keeps what it knows of the
// person behind an account: addresses, devices, names, and what they typed to recover it. The
// log stays whole and verifiable.
func eraseHistory(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"account": c.account.ID, "directory": c.account.Directory}
	return nil, as(audit.EraseAccount(ctx, tx, c.account.Env, c.account.ID), store.ErrNotFound, nil)
}
