package directory_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postern-id/postern/hub/coord"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/protocol"
)

// endless is an agent that gives empty pages for ever.
type endless struct{}

func (endless) Call(_ context.Context, _ directory.To, m protocol.Method, _ protocol.Priority, _, resp any) error {
	if page, ok := resp.(*protocol.ListPage); ok && m == protocol.MethodList {
		*page = protocol.ListPage{Pass: "p"}
	}
	return nil
}

// noLeases is one node alone.
type noLeases struct{}

func (noLeases) Acquire(context.Context, string, time.Duration) (coord.Lease, error) {
	return coord.Lease{}, nil
}
func (noLeases) Renew(context.Context, coord.Lease, time.Duration) error { return nil }
func (noLeases) Release(context.Context, coord.Lease) error              { return nil }

func (b *bench) Log(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func TestHostileAccountsAreTrimmedOrRefused(t *testing.T) {
	long := strings.Repeat("x", 1000)
	many := make([]string, 200)
	for i := range many {
		many[i] = strings.Repeat("i", i+1)
	}
	a, ok := directory.Tidy(protocol.Account{ID: "1", Name: "Two\nlines\x1b " + long, Identifiers: append([]string{"", "a\x00b", long, "\xff"}, many...), BirthDate: long,
		Groups: []protocol.Group{{ID: ""}, {ID: "g", Name: "G\r\nH"}}})
	if !ok || len(a.Name) > 256 || !strings.HasPrefix(a.Name, "Two lines ") || len(a.Identifiers) != 64 || a.Identifiers[0] != "i" || a.BirthDate != "" ||
		len(a.Groups) != 1 || a.Groups[0].Name != "G H" {
		t.Errorf("%v %+v", ok, a)
	}
	for _, id := range []string{"", long, "a\x00", "\xff"} {
		if _, ok := directory.Tidy(protocol.Account{ID: id}); ok {
			t.Errorf("id %q was accepted", id)
		}
	}
}

func TestHostilePageDoesNotBreakThePass(t *testing.T) {
	each(t, 0, func(t *testing.T, b *bench, c *company) {
		c.accounts = []protocol.Account{
			{ID: "1", Name: "\x00", Identifiers: []string{"same", "SAME ", "same"}, Groups: []protocol.Group{{ID: "g", Name: "A"}, {ID: "g", Name: "B"}}},
			{ID: "1", Name: "again"}, {ID: ""}, {ID: "2", Identifiers: []string{"same"}, Groups: []protocol.Group{{ID: "g", Name: "C"}}},
			{ID: "'; DROP TABLE accounts; --", Identifiers: []string{"%", "$1", "' OR 1=1"}},
		}
		b.mustSync(t)
		b.mustSync(t)
		if b.finds(t, "same") != 2 || b.finds(t, "' or 1=1") != 1 || b.count(t, "1 = 1") != 3 {
			t.Fatalf("%d accounts", b.count(t, "1 = 1"))
		}
	})
}

func FuzzTidy(f *testing.F) {
	f.Add([]byte(`{"immutable_id":"1","ids":["a"],"name":"n","groups":[{"immutable_id":"g","name":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var raw protocol.Account
		if json.Unmarshal(b, &raw) != nil {
			return
		}
		a, ok := directory.Tidy(raw)
		if !ok {
			return
		}
		if a.ID == "" || len(a.Identifiers) > 64 || len(a.Groups) > 2000 || len(a.Name) > 256 || strings.ContainsAny(a.Name, "\x00\r\n") || !utf8.ValidString(a.Name) {
			t.Fatalf("%+v", a)
		}
		for _, s := range a.Identifiers {
			if s == "" || len(s) > 320 || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
				t.Fatalf("identifier %q", s)
			}
		}
	})
}
