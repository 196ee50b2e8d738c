package protocol

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// aPage has everything that a page can have.
func aPage() ListPage {
	staff, other := Group{ID: "11111111-2222-3333-4444-555555555555", Name: "Staff", Kind: "group"}, Group{ID: "cn=x", Name: "Ä"}
	return ListPage{
		Pass: "P", Fingerprint: "f", Full: true, Total: 7, Done: true, State: `{"v":2}`, Deleted: []string{"gone", ""},
		Accounts: []Account{
			{ID: "0a1b2c3d-0000-4fff-8000-00000000abcd", Name: "Zoë", Identifiers: []string{"zoe", "zoe@corp.example"}, Groups: []Group{staff, other},
				BirthDate: "hash", UpdatedAt: time.Date(2026, 3, 4, 5, 6, 7, 891_011_000, time.UTC)},
			{ID: "0A1B2C3D-0000-4FFF-8000-00000000ABCD", Disabled: true, Groups: []Group{staff}}, // no id of the canonical form
			{ID: "uid=x", Identifiers: []string{""}, UpdatedAt: time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)},
			{},
		},
	}
}

func TestPackedPageSaysWhatJSONSays(t *testing.T) {
	want := aPage()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := bodyOf(PackedPage(want))
	if err != nil || len(packed) >= len(text) {
		t.Fatalf("%d bytes packed, %d as JSON, %v", len(packed), len(text), err)
	}
	for _, body := range [][]byte{text, packed} {
		got := ListPage{Pass: "left over", Deleted: []string{"left over"}}
		if err := ReadBody(body, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\n%+v\nwant\n%+v", err, got, want)
		}
	}
}

func TestPageBeyondThePackedBoundsIsJSON(t *testing.T) {
	var many ListPage
	for i := range maxPagedAccounts + 1 {
		many.Accounts = append(many.Accounts, Account{ID: fmt.Sprint(i)})
	}
	crowded := ListPage{Accounts: []Account{{ID: "1", Groups: make([]Group, maxPagedGroups+1)}}}
	wordy := ListPage{Accounts: []Account{{ID: "1", Identifiers: make([]string, maxPagedTexts)}}, Deleted: []string{"2"}}
	for _, p := range []ListPage{many, crowded, wordy} {
		body, err := bodyOf(PackedPage(p))
		if err != nil || body[0] != '{' {
			t.Fatalf("begins with %q, %v", body[:1], err)
		}
		var got ListPage
		if err := ReadBody(body, &got); err != nil || len(got.Accounts) != len(p.Accounts) {
			t.Errorf("%d accounts, %v", len(got.Accounts), err)
		}
	}
}

func TestPackedPageThatIsCutOrPromisesTooMuchIsRefused(t *testing.T) {
	whole, err := bodyOf(PackedPage(aPage()))
	if err != nil {
		t.Fatal(err)
	}
	refused := [][]byte{append(whole, 0)}
	for n := 1; n < len(whole); n++ {
		refused = append(refused, whole[:n])
	}
	head := []byte{packedForm, 0, 0, 0, 0, 0, 0, 0} // no texts, total, groups or deletions
	refused = append(refused, append(head, 0xff, 0xff, 0xff, 0xff, 0x0f), append(head, make([]byte, 40)...))
	texts := append(binary.AppendUvarint(head[:len(head)-2:len(head)-2], maxPagedTexts+1), make([]byte, maxPagedTexts+2)...) // empty ones, 16 bytes in memory each
	refused = append(refused, texts)
	for _, b := range refused {
		var p ListPage
		if err := ReadBody(b, &p); err == nil {
			t.Errorf("%d of %d bytes were read: %+v", len(b), len(whole), p)
		}
		if !reflect.DeepEqual(p, ListPage{}) {
			t.Errorf("something is left of %d bytes", len(b))
		}
	}
}

func FuzzPackedPage(f *testing.F) {
	seed, err := bodyOf(PackedPage(aPage()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{packedForm})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p ListPage
		if ok, err := p.readBody(b); !ok || err != nil {
			return
		}
		again, ok := PackedPage(p).appendBody(nil)
		if !ok {
			t.Fatal("what was read cannot be written")
		}
		var q ListPage
		if _, err := q.readBody(again); err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%v\n%+v\n%+v", err, p, q)
		}
	})
}
