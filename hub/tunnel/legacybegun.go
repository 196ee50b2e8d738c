package tunnel

import (
	"sync"
	"time"
)

// maxBegun bounds the recoveries of legacy directories that a node remembers.
const maxBegun = 10000

// begunAccounts remembers which account a recovery of a legacy directory is for.
type begunAccounts struct {
	mu   sync.Mutex
	rows map[string]begunAccount
}

type begunAccount struct {
	account string
	until   time.Time
}

func newBegunAccounts() begunAccounts { return begunAccounts{rows: map[string]begunAccount{}} }

func (b *begunAccounts) put(recovery, account string, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.rows) >= maxBegun {
		for id, r := range b.rows {
			if !r.until.After(time.Now()) || len(b.rows) >= maxBegun {
				delete(b.rows, id)
			}
		}
	}
	b.rows[recovery] = begunAccount{account, until}
}

func (b *begunAccounts) get(recovery string, now time.Time) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.rows[recovery]
	return r.account, ok && r.until.After(now)
}

func (b *begunAccounts) remove(recovery string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.rows, recovery)
}
