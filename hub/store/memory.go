package store

import (
	"slices"
	"sync"
	"sync/atomic"
)

// maxRemembered bounds the rows of either kind that a memory holds. Whoever has more asks
// for some anew.
const maxRemembered = 2048

// settled are the tables of which rows are remembered: those that administrators write.
var settled = []string{"oidc_clients", "oidc_keys", "environments", "organisations", "directories", "domains", "templates"}

// A memory saves plans a query. What it holds of settled tables counts only as long as
// nobody wrote to one of them: a plan that has gone by it is not carried out otherwise. And
// a plan that has failed after it went by the memory has not failed: it is done as a
// transaction, which knows what is committed. What is remembered of exchanges stands in
// exchangequeue.go.
type memory struct {
	age atomic.Int64 // grows with each commit that may have changed a settled table

	mu   sync.Mutex
	rows map[string]any // of this age
}

func newMemory() *memory { return &memory{rows: map[string]any{}} }

// forget lets go of all rows of settled tables.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.age.Add(1)
	clear(m.rows)
}

// row returns what is remembered by whoever began at an age.
func (m *memory) row(age int64, name string) (any, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.age.Load() != age {
		return nil, false
	}
	v, ok := m.rows[name]
	return v, ok
}

// keep remembers what somebody has read who began at an age.
func (m *memory) keep(age int64, name string, v any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.age.Load() != age {
		return
	}
	if len(m.rows) >= maxRemembered {
		clear(m.rows)
	}
	m.rows[name] = v
}

// recaller is a querier that remembers rows of settled tables.
type recaller interface {
	recall(name string) (any, bool)
	keep(name string, v any)
}

// recalled returns what is remembered under a name, or asks for it and has it remembered.
// Who only reads asks, as does PostgreSQL.
func recalled[T any](tx *Tx, name string, ask func() (T, error)) (T, error) {
	r, ok := tx.q.(recaller)
	if !ok {
		return ask()
	}
	if v, ok := r.recall(name); ok {
		return v.(T), nil
	}
	v, err := ask()
	if err == nil {
		r.keep(name, v)
	}
	return v, err
}

// recalledAll is recalled for a list, which the caller may change.
func recalledAll[T any](tx *Tx, name string, ask func() ([]T, error)) ([]T, error) {
	all, err := recalled(tx, name, ask)
	return slices.Clone(all), err
}
