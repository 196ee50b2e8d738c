package wallet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// Kinds are the documents that wallets can be asked for: mdl, a mobile driving licence
// (ISO/IEC 18013-5), and pid, a person identification (SD-JWT VC).
func Kinds() []string { return []string{queryMDL, queryPID} }

// CheckKinds reports what is wrong with a list of kinds; an empty one stands for all.
func CheckKinds(kinds []string) error {
	for i, k := range kinds {
		if forms[k] == "" || slices.Contains(kinds[:i], k) {
			return &Wrong{"documents", fmt.Sprintf("%.20q is none of mdl and pid, or stands twice", k)}
		}
	}
	return nil
}

// kinds are those that an environment asks for.
func (v *Verifier) kinds(ctx context.Context, env string) ([]string, error) {
	kinds, err := store.Get(ctx, v.store, func(tx *store.Tx) ([]string, error) { return tx.Documents(ctx, env) })
	if len(kinds) == 0 {
		kinds = Kinds()
	}
	return kinds, err
}

// Wrong is what an administrator must mend in what they gave.
type Wrong struct{ Field, Text string }

// Error implements error.
func (w *Wrong) Error() string { return "wallet: " + w.Field + ": " + w.Text }

// Bounds of what is imported.
const (
	maxSourceName  = 200
	maxSourceTypes = 32
)

// CheckSource reports what is wrong with a source before it is imported, as *Wrong.
func CheckSource(s store.TrustSource, now time.Time) error {
	switch {
	case s.Name == "" || len(s.Name) > maxSourceName || s.Name != strings.TrimSpace(s.Name):
		return &Wrong{"name", "want 1 to 200 bytes, by which people know the list"}
	case len(s.DocTypes) > maxSourceTypes:
		return &Wrong{"doc_types", "too many"}
	case len(s.Body) == 0:
		return &Wrong{s.Kind, "want a PEM file of authorities, or a signed list"}
	case s.Kind == store.TrustVICAL && len(s.Root) == 0:
		return &Wrong{"root", "a vical wants the PEM certificate of its provider"}
	case s.Kind == store.TrustVICAL && len(s.DocTypes) > 0:
		return &Wrong{"doc_types", "a vical says the kinds of document itself"}
	}
	if err := readSource(s, now).err; err != nil {
		_, text, _ := strings.Cut(err.Error(), ": ")
		return &Wrong{s.Kind, text}
	}
	return nil
}
