package command

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// Bounds and times of passes.
const (
	pageLives  = 4              // timeouts: a page is read from far more than one account is
	maxListed  = 10_000_000     // accounts of one pass; more is a worker that goes in circles
	fullEvery  = 24 * time.Hour // the public protocol's changes do not tell of deletions
	overlap    = time.Second    // workers compare with > or with >=, in whole seconds
	stateForm  = 1
	staleEmpty = 2 // pages in a row that bring nobody new: a cursor that goes in circles
)

// A state is where the next pass of changes begins.
type state struct {
	Form int       `json:"form"`
	Of   string    `json:"of"`   // fingerprint of the directory
	At   time.Time `json:"at"`   // the greatest updated_at so far
	Full time.Time `json:"full"` // when the last full pass began, by the agent's clock
}

// readState reads what a former pass ended with; false: it is none of this directory's,
// or too old.
func readState(text, of string) (state, bool) {
	var s state
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if d.Decode(&s) != nil || d.More() {
		return s, false
	}
	age := time.Since(s.Full)
	return s, s.Form == stateForm && s.Of == of && !s.At.IsZero() && age >= 0 && age < fullEvery
}

// A sweep is one pass.
type sweep struct {
	d    *Directory
	full bool
	page int
	seen map[[16]byte]struct{} // ids, as hashes: a hundred thousand take a few megabytes
	at   time.Time
	out  func(directory.Page) error
}

// List implements directory.Reader: everything by the worker's cursors, so that what is
// not listed is gone, or what changed since, where the worker's traits offer that.
func (d *Directory) List(ctx context.Context, since string, page int, yield func(directory.Page) error) (string, error) {
	about, err := d.Describe(ctx)
	if err != nil {
		return "", err
	}
	began := time.Now()
	from, known := readState(since, about.Fingerprint)
	w := &sweep{d: d, full: !known || !about.Traits.CanUpdateAccountsList, page: max(page, 1), seen: map[[16]byte]struct{}{}, out: directory.While(ctx, yield)}
	ask := listRequest{}
	if !w.full {
		began, w.at = from.Full, from.At
		ask.UpdatedAfter = from.At.Add(-overlap).UTC().Format(time.RFC3339Nano)
	}
	if err := w.run(ctx, ask); err != nil {
		return "", err
	}
	if w.at.IsZero() {
		w.at = began // no account says when it changed
	}
	next, err := json.Marshal(state{stateForm, about.Fingerprint, w.at.UTC(), began.UTC()})
	return string(next), err
}

// run follows the cursors. Between two pages the worker is free for others.
func (w *sweep) run(ctx context.Context, ask listRequest) error {
	idle := 0
	for {
		got, err := w.d.page(ctx, ask)
		if err != nil {
			return err
		}
		before := len(w.seen)
		if err := w.give(got); err != nil {
			return err
		}
		if got.NextCursor == "" {
			return nil
		}
		if idle++; len(w.seen) > before {
			idle = 0
		}
		if got.NextCursor == ask.Cursor || idle > staleEmpty || len(w.seen) > maxListed {
			return protocol.Err(protocol.CodeConfiguration, "the worker's next_cursor goes in circles")
		}
		ask.Cursor = got.NextCursor
	}
}

// page asks for one page.
func (d *Directory) page(ctx context.Context, ask listRequest) (got *accountsPage, err error) {
	err = d.with(ctx, d.pool.lists, func(p *process) error {
		ctx, cancel := context.WithTimeout(ctx, pageLives*d.cfg.Timeout.Duration)
		defer cancel()
		r, err := p.ask(ctx, request{ListAccounts: &ask}, maxPage)
		switch {
		case err != nil:
			return unavailable(err)
		case r.Error != nil:
			return r.Error.err()
		case r.ListAccounts == nil:
			return missing("list_accounts")
		}
		got = r.ListAccounts
		return nil
	})
	return got, err
}

// give passes a worker's page on in pages of the size that the hub asked for. An account
// without an id stops the pass: to leave it out would be to call it deleted.
func (w *sweep) give(got *accountsPage) error {
	key := w.d.birthDateKey()
	out := directory.Page{Full: w.full}
	if !w.full {
		for _, id := range got.Deleted {
			out.Deleted = append(out.Deleted, canonical(id))
		}
	}
	for i, a := range got.Accounts {
		if !clean(a.ImmutableID) {
			return protocol.Err(protocol.CodeConfiguration, fmt.Sprintf("account %d of a page of the worker has no usable immutable_id", i+1))
		}
		if !w.first(a.id()) {
			continue // pages may overlap while accounts change
		}
		if a.UpdatedAt.After(w.at) {
			w.at = a.UpdatedAt.Time
		}
		if out.Accounts = append(out.Accounts, a.listed(key)); len(out.Accounts) == w.page {
			if err := w.out(out); err != nil {
				return err
			}
			out = directory.Page{Full: w.full}
		}
	}
	if len(out.Accounts) == 0 && len(out.Deleted) == 0 && len(got.Accounts) > 0 {
		return nil // all of it went out
	}
	return w.out(out)
}

// first notes an id and reports whether it is new in this pass.
func (w *sweep) first(id string) bool {
	sum := sha256.Sum256([]byte(id))
	short := [16]byte(sum[:16])
	_, twice := w.seen[short]
	w.seen[short] = struct{}{}
	return !twice
}
