package store_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

var birthDateCell = store.Cell{Env: "e", Table: "directories", Column: "birth_date_key", Row: "r"}

// T26: a sealed value opens only in its own environment, table, column and row.
func TestT26_SealedValueOpensOnlyInItsPlace(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	sealed, err := s.Seal(birthDateCell, []byte("canary"))
	if err != nil || strings.Contains(sealed, "canary") {
		t.Fatal(sealed, err)
	}
	if got, err := s.Unseal(birthDateCell, sealed); err != nil || string(got) != "canary" {
		t.Fatal(got, err)
	}
	for name, change := range map[string]func(c *store.Cell){
		"environment": func(c *store.Cell) { c.Env = "f" }, "table": func(c *store.Cell) { c.Table = "hub_keys" },
		"column": func(c *store.Cell) { c.Column = "private" }, "row": func(c *store.Cell) { c.Row = "s" },
		"boundary": func(c *store.Cell) { c.Env, c.Table = "ed", "irectories" },
	} {
		c := birthDateCell
		change(&c)
		if _, err := s.Unseal(c, sealed); err == nil {
			t.Errorf("opened with another %s", name)
		}
	}
	for _, bad := range []string{"", "x", sealed[:len(sealed)-2], sealed + "AAAA", strings.Replace(sealed, ".", "", 1)} {
		if _, err := s.Unseal(birthDateCell, bad); err == nil {
			t.Errorf("opened %q", bad)
		}
	}
	if again, _ := s.Seal(birthDateCell, []byte("canary")); again == sealed {
		t.Error("equal values look equal")
	}
	if _, err := s.Seal(store.Cell{Table: "directories", Column: "name"}, nil); err == nil {
		t.Error("sealed into a column that rotation does not know")
	}
}

// T26: a node with another master key refuses to start and says what to do.
func TestT26_NodeWithAnotherMasterKeyRefusesToStart(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		storetest.Open(t, c)
		c.MasterKey = otherKey
		_, err := store.Open(t.Context(), c)
		if !errors.Is(err, store.ErrMasterKey) || !strings.Contains(err.Error(), "give every node the same master_key") {
			t.Fatal(err)
		}
		c.MasterKey = otherKey[:31]
		if _, err := store.Open(t.Context(), c); err == nil {
			t.Fatal("a short key was accepted")
		}
	})
}

// The default key file is for its user only; a readable one is refused.
func TestT26_MasterKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data", "master.key")
	key, err := store.LoadOrCreateMasterKey(file)
	if err != nil || len(key) != store.MasterKeySize {
		t.Fatal(key, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	if again, err := store.LoadOrCreateMasterKey(file); err != nil || !bytes.Equal(again, key) {
		t.Fatal("another key at the second start", err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := store.LoadMasterKey(file); err == nil || !strings.Contains(err.Error(), "chmod 0600") {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"raw": string(key), "hex": hex.EncodeToString(key) + "\n"} {
		if err := os.WriteFile(file+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := store.LoadMasterKey(file + name); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(file+"short", []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.LoadMasterKey(file + "short"); err == nil || strings.Contains(err.Error(), "abc") {
		t.Fatal(err)
	}
}

// rotating opens a store that looks often whether the master key was changed.
func rotating(t *testing.T, c store.Config) *store.Store {
	return storetest.Open(t, store.FastKeys(c))
}

func TestRotationReSealsEverythingWhileNodesRun(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		a, b := rotating(t, c), rotating(t, c)
		f := storetest.Seed(t, a)
		key := func() error {
			return a.Read(t.Context(), func(tx *store.Tx) error {
				got, err := tx.BirthDateKey(t.Context(), f.Env.ID, f.Directory.ID)
				if err == nil && string(got) != "birth" {
					t.Errorf("birth date key %q", got)
				}
				return err
			})
		}
		do(t, a, func(ctx context.Context, tx *store.Tx) error {
			return tx.SetBirthDateKey(ctx, f.Env.ID, f.Directory.ID, []byte("birth"))
		})
		hub, err := a.HubKey(t.Context(), store.HubKeyLog, func() (store.HubKey, error) {
			return store.HubKey{Public: []byte("p"), Private: []byte("q")}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		before := b.DeriveKeys("mesh")
		if err := b.Rotate(t.Context(), otherKey); err != nil {
			t.Fatal(err)
		}
		if err := key(); err != nil {
			t.Errorf("the other node cannot read: %v", err)
		}
		if got, err := a.HubKey(t.Context(), store.HubKeyLog, nil); err != nil || !bytes.Equal(got.Private, hub.Private) {
			t.Errorf("hub key: %v", err)
		}
		after := a.DeriveKeys("mesh")
		if bytes.Equal(after[0], before[0]) || len(after) != 2 || !bytes.Equal(after[1], before[0]) || !bytes.Equal(after[0], b.DeriveKeys("mesh")[0]) {
			t.Error("nodes derive different keys after the rotation")
		}
		if _, err := store.Open(t.Context(), c); !errors.Is(err, store.ErrMasterKey) {
			t.Errorf("the old key still opens the store: %v", err)
		}
		c.MasterKey = otherKey
		d := storetest.Open(t, c)
		if got, err := d.HubKey(t.Context(), store.HubKeyLog, nil); err != nil || !bytes.Equal(got.Private, hub.Private) {
			t.Errorf("with the new key: %v", err)
		}
		if n := store.SealedUnder(t, d, storetest.MasterKey); n != 0 {
			t.Errorf("%d cells are still sealed under the old key", n)
		}
	})
}

// A rotation that was interrupted after it began leaves a store that both keys open,
// and goes on when it is called again.
func TestRotationGoesOnAfterAnInterruption(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := rotating(t, c)
		f := storetest.Seed(t, s)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.SetBirthDateKey(ctx, f.Env.ID, f.Directory.ID, []byte("birth"))
		})
		if err := store.AnnounceOnly(t, s, otherKey); err != nil {
			t.Fatal(err)
		}
		for _, key := range [][]byte{storetest.MasterKey, otherKey} {
			c.MasterKey = key
			node := rotating(t, c)
			err := node.Read(t.Context(), func(tx *store.Tx) error {
				_, err := tx.BirthDateKey(t.Context(), f.Env.ID, f.Directory.ID)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if store.SealedUnder(t, s, storetest.MasterKey) != 1 {
			t.Fatal("nothing was interrupted")
		}
		if err := rotating(t, c).Rotate(t.Context(), otherKey); err != nil {
			t.Fatal(err)
		}
		if n := store.SealedUnder(t, s, storetest.MasterKey); n != 0 {
			t.Fatalf("%d cells are left", n)
		}
	})
}

// What does not open holds up no other cell, and the error names it; once it is gone the
// rotation ends as any other.
func TestRotationGoesAroundWhatDoesNotOpenAndNamesIt(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := rotating(t, c)
		f := storetest.Seed(t, s)
		var rows []string
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			for range 250 { // more than a batch
				d, err := tx.CreateDirectory(ctx, store.Directory{Env: f.Env.ID, Kind: "custom", Name: "people"})
				if err == nil {
					err = tx.SetBirthDateKey(ctx, f.Env.ID, d.ID, []byte("birth"))
				}
				if err != nil {
					return err
				}
				rows = append(rows, d.ID)
			}
			return nil
		})
		damaged, foreign := rows[0], rows[120]
		set := func(row, text string) {
			do(t, s, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, "UPDATE directories SET birth_date_key = $1 WHERE id = $2", text, row)
				return err
			})
		}
		other, err := store.Open(t.Context(), store.Config{Dir: t.TempDir(), MasterKey: bytes.Repeat([]byte{77}, store.MasterKeySize), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = other.Close() })
		text, err := other.Seal(store.Cell{Env: f.Env.ID, Table: "directories", Column: "birth_date_key", Row: foreign}, []byte("birth"))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := s.Seal(birthDateCell, nil)
		if err != nil {
			t.Fatal(err)
		}
		set(damaged, ours)
		set(foreign, text)
		err = s.Rotate(t.Context(), otherKey)
		var one *store.Unreadable
		if !errors.As(err, &one) || !strings.Contains(err.Error(), damaged) || !strings.Contains(err.Error(), foreign) || strings.Count(err.Error(), "\n") != 2 || !errors.Is(err, store.ErrMasterKey) {
			t.Fatalf("%v", err)
		}
		if n := store.SealedUnder(t, s, storetest.MasterKey); n != 1 {
			t.Errorf("%d cells are left under the old key; want the damaged one", n)
		}
		set(damaged, "")
		set(foreign, "")
		if err := s.Rotate(t.Context(), otherKey); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), c); !errors.Is(err, store.ErrMasterKey) {
			t.Errorf("the old key still opens the store: %v", err)
		}
		for _, row := range rows[1:100] {
			do(t, s, func(ctx context.Context, tx *store.Tx) error {
				got, err := tx.BirthDateKey(ctx, f.Env.ID, row)
				if string(got) != "birth" {
					t.Errorf("%s: %q", row, got)
				}
				return err
			})
		}
	})
}

// aSealed is "canary", sealed for birthDateCell under the key of tests: the processes of a
// fuzz test each make another text, and take one of each other's for a changed one that opens.
const aSealed = "a637001fffad7bb2.T9ljWdwE0Q6PTrKKeBt09bH2fbUTqIKEYU_OPRMoouB5tA"

// A changed text in a sealed column never opens and never panics.
func FuzzUnseal(f *testing.F) {
	s, err := store.Open(context.Background(), store.Config{Dir: f.TempDir(), MasterKey: storetest.MasterKey, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	if plain, err := s.Unseal(birthDateCell, aSealed); err != nil || string(plain) != "canary" {
		f.Fatalf("%q, %v", plain, err)
	}
	f.Add(aSealed[:20] + "A" + aSealed[20:])
	f.Add("." + aSealed)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if plain, err := s.Unseal(birthDateCell, text); err == nil && text != aSealed && !sameBase64(text, aSealed) {
			t.Fatalf("%q opened as %q", text, plain)
		}
	})
}

// sameBase64 reports whether two texts stand for the same bytes: line ends, and the
// unused bits of the last character, are ignored by the decoder.
func sameBase64(a, b string) bool {
	idA, bodyA, _ := strings.Cut(a, ".")
	idB, bodyB, _ := strings.Cut(b, ".")
	x, errX := base64.RawURLEncoding.DecodeString(bodyA)
	y, errY := base64.RawURLEncoding.DecodeString(bodyB)
	return idA == idB && errX == nil && errY == nil && bytes.Equal(x, y)
}
