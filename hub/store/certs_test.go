package store_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

const certificate = "certificates/acme/r.example.com/r.example.com.crt"

func TestCertificateStorageHoldsFilesInFolders(t *testing.T) {
	eachClocked(t, func(t *testing.T, s *store.Store, c *clock) {
		ctx, certs := t.Context(), s.Certificates()
		if _, err := certs.Load(ctx, certificate); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("load of nothing: %v", err)
		}
		if _, err := certs.Stat(ctx, certificate); !errors.Is(err, fs.ErrNotExist) || certs.Exists(ctx, certificate) {
			t.Fatalf("stat of nothing: %v", err)
		}
		if _, err := certs.List(ctx, "certificates", true); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("list of nothing: %v", err)
		}
		for name, value := range map[string]string{certificate: "chain", "certificates/acme/r.example.com/r.example.com.key": "key", "certificates/acme/x": "", "acme/account.json": "{}", "certificatesx": "-"} {
			if err := certs.Store(ctx, name, []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		c.pass(time.Minute)
		if err := certs.Store(ctx, certificate, []byte("chain 2")); err != nil {
			t.Fatal(err)
		}
		if got, err := certs.Load(ctx, "/"+certificate); err != nil || string(got) != "chain 2" {
			t.Fatalf("%q %v", got, err)
		}
		info, err := certs.Stat(ctx, certificate)
		if want := (store.CertificateInfo{Name: certificate, Modified: c.now().UTC(), Size: 7, Terminal: true}); err != nil || info != want {
			t.Fatalf("%+v %v", info, err)
		}
		if info, err := certs.Stat(ctx, "certificates/acme"); err != nil || info.Terminal || !certs.Exists(ctx, "certificates/acme/") {
			t.Fatalf("folder: %+v %v", info, err)
		}
		for _, l := range []struct {
			folder    string
			recursive bool
			want      []string
		}{
			{"certificates/acme", false, []string{"certificates/acme/r.example.com", "certificates/acme/x"}},
			{"certificates/", true, []string{"certificates/acme", "certificates/acme/r.example.com", certificate, "certificates/acme/r.example.com/r.example.com.key", "certificates/acme/x"}},
			{"", false, []string{"acme", "certificates", "certificatesx"}},
		} {
			if got, err := certs.List(ctx, l.folder, l.recursive); err != nil || !reflect.DeepEqual(got, l.want) {
				t.Errorf("list %q: %v %v, want %v", l.folder, got, err, l.want)
			}
		}
		if err := errors.Join(certs.Delete(ctx, "certificates/acme"), certs.Delete(ctx, "certificates/acme")); err != nil {
			t.Fatal(err)
		}
		if certs.Exists(ctx, certificate) || certs.Exists(ctx, "certificates") || !certs.Exists(ctx, "certificatesx") {
			t.Fatal("a deleted folder is there, or its neighbour is not")
		}
		if err := certs.Store(ctx, certificate, make([]byte, 2<<20)); err == nil {
			t.Fatal("a huge value was accepted")
		}
	})
}

// T26: neither the database nor the disk holds a certificate's key in clear.
func TestT26_CertificatesAreSealedInTheStoreAndOnTheDisk(t *testing.T) {
	c := storetest.SQLite(t)
	s := storetest.Open(t, c)
	if err := s.Certificates().Store(t.Context(), certificate, []byte("-----BEGIN CANARY")); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(c.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("CANARY")) {
			t.Errorf("%s holds the value in clear", path)
		}
		info, _ := d.Info()
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		files++
		return err
	})
	if err != nil || files < 2 {
		t.Fatal(files, err)
	}
}

// P26: a node whose database is away still has its certificates, after a restart too.
func TestP26_CertificatesAreReadFromTheDiskWhileTheDatabaseIsAway(t *testing.T) {
	p := testenv.StartPostgres(t)
	c := storetest.SQLite(t)
	c.URL = p.Database(t)
	first, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.Certificates().Store(t.Context(), certificate, []byte("chain")), first.Close()); err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, c)
	certs, ctx := s.Certificates(), t.Context()
	p.Stop()
	if got, err := certs.Load(ctx, certificate); err != nil || string(got) != "chain" {
		t.Fatalf("%q %v", got, err)
	}
	if info, err := certs.Stat(ctx, certificate); err != nil || info.Size != 5 || !info.Terminal {
		t.Fatalf("%+v %v", info, err)
	}
	if got, err := certs.List(ctx, "certificates/acme", false); err != nil || len(got) != 1 {
		t.Fatalf("%v %v", got, err)
	}
	if _, err := certs.Load(ctx, "unknown"); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("what is not known must not look absent: %v", err)
	}
	if err := certs.Store(ctx, "new", nil); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("a write that nobody else sees: %v", err)
	}
	p.Start(t)
	if err := certs.Delete(ctx, certificate); err != nil {
		t.Fatal(err)
	}
	p.Stop()
	if _, err := certs.Load(ctx, certificate); err == nil {
		t.Fatal("a deleted certificate came back from the disk")
	}
}

// After a rotation the old key opens no copy on the disk either.
func TestT26_RotationSealsTheCopiesOnTheDiskAnew(t *testing.T) {
	c := store.FastKeys(storetest.SQLite(t))
	s := storetest.Open(t, c)
	ctx := t.Context()
	if err := s.Certificates().Store(ctx, certificate, []byte("chain")); err != nil {
		t.Fatal(err)
	}
	old := copiesOf(t, c)
	if err := s.Rotate(ctx, otherKey); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the copy is as it was", func() bool { return !bytes.Equal(copiesOf(t, c), old) })
	if got, err := s.Certificates().Load(ctx, certificate); err != nil || string(got) != "chain" {
		t.Fatalf("%q %v", got, err)
	}
}

// copiesOf returns what the copies on a node's disk hold.
func copiesOf(t *testing.T, c store.Config) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.Dir, "certificates", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLockIsHeldByOneNodeAtATime(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		nodes := []*store.Certificates{storetest.Open(t, c).Certificates(), storetest.Open(t, c).Certificates()}
		var inside, entered atomic.Int32
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				certs := nodes[i%2]
				if err := certs.Lock(t.Context(), "issue"); err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				entered.Add(1)
				inside.Add(-1)
				if err := certs.Unlock(t.Context(), "issue"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if entered.Load() != 6 {
			t.Fatalf("%d of 6 had it", entered.Load())
		}
	})
}

func TestLockOfADeadNodeEndsWithItsLease(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, cfg store.Config) {
		c := &clock{}
		c.ms.Store(1_700_000_000_000)
		cfg.Now = c.now
		dead, err := store.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := dead.Certificates().TryLock(t.Context(), "issue"); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := dead.Close(); err != nil { // without Unlock
			t.Fatal(err)
		}
		certs := storetest.Open(t, cfg).Certificates()
		if ok, err := certs.TryLock(t.Context(), "issue"); err != nil || ok {
			t.Fatal("a living lease was taken", err)
		}
		if err := certs.Unlock(t.Context(), "issue"); !errors.Is(err, store.ErrNotLocked) {
			t.Fatal(err)
		}
		c.pass(20 * time.Second)
		if ok, err := certs.TryLock(t.Context(), "issue"); err != nil || !ok {
			t.Fatal("a dead lease holds", err)
		}
		if err := certs.RenewLockLease(t.Context(), "issue", time.Hour); err != nil {
			t.Fatal(err)
		}
		c.pass(50 * time.Minute)
		other := storetest.Open(t, cfg).Certificates()
		if ok, err := other.TryLock(t.Context(), "issue"); err != nil || ok {
			t.Fatal("a renewed lease was taken", err)
		}
		c.pass(20 * time.Minute)
		if ok, err := other.TryLock(t.Context(), "issue"); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := certs.RenewLockLease(t.Context(), "issue", time.Hour); !errors.Is(err, store.ErrNotLocked) {
			t.Fatalf("a lost lease was renewed: %v", err)
		}
		if err := certs.Unlock(t.Context(), "issue"); err != nil {
			t.Fatal(err)
		}
		if ok, _ := certs.TryLock(t.Context(), "issue"); ok {
			t.Fatal("the former holder gave back the lock of the new one")
		}
	})
}
