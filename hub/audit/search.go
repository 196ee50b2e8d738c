package audit

import (
	"context"
	"strings"

	"github.com/postern-id/postern/hub/store"
)

// Bounds of a search for words, which no index helps with.
const (
	searchBatch = 512
	searchMost  = 4096 // events that one page looks at
)

// A Page is some events, and where to go on.
type Page struct {
	Records []Record
	Next    string // AuditFilter.After of the next page; "" where there is none
}

// Search reads a page of events of an organisation; see store.AuditFilter. With words,
// only those come whose leaf has all of them in some spelling of letters; what is under a
// person's key is not looked at. Such a page may be short or empty though there is a next.
func Search(ctx context.Context, tx *store.Tx, org string, f store.AuditFilter, words []string) (Page, error) {
	var p Page
	want, seen, from := f.Count, 0, newReader(tx)
	for i := range words {
		words[i] = strings.ToLower(words[i])
	}
	for {
		f.Count = want - len(p.Records) + 1 // one more says whether there is a next page
		if len(words) > 0 {
			f.Count = searchBatch
		}
		f.Count = min(f.Count, store.MaxAudit)
		rows, err := tx.AuditRows(ctx, org, f)
		if err != nil {
			return Page{}, err
		}
		for _, row := range rows {
			if len(p.Records) == want {
				p.Next = f.After
				return p, nil
			}
			f.After = row.ID
			if !matches(row.Leaf, words) {
				continue
			}
			r, err := from.read(ctx, row)
			if err != nil {
				return Page{}, err
			}
			p.Records = append(p.Records, r)
		}
		seen += len(rows)
		if len(rows) < f.Count {
			return p, nil
		}
		if seen >= searchMost {
			p.Next = f.After
			return p, nil
		}
	}
}

func matches(leaf string, words []string) bool {
	if len(words) == 0 {
		return true
	}
	leaf = strings.ToLower(leaf)
	for _, w := range words {
		if !strings.Contains(leaf, w) {
			return false
		}
	}
	return true
}
