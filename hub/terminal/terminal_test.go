package terminal

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/nacl/box"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// few lets an address ask so often.
type few struct{ left atomic.Int64 }

func (f *few) Take(context.Context, string, int, time.Duration) (bool, error) {
	return f.left.Add(-1) >= 0, nil
}

func newKey(t *testing.T) (key string, public, private *[32]byte) {
	t.Helper()
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(public[:]), public, private
}

func TestT32_TheCodeIsDerivedFromTheKeyAndNothingElseFits(t *testing.T) {
	key, _, _ := newKey(t)
	code := Code(key)
	for _, good := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", " "), "  " + code + "\n", key[len(key)-6:]} {
		if err := Check(key, good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	other, _, _ := newKey(t)
	for _, bad := range []string{"", "-", code[:8], code + "0", Code(other), key[:6], key, key[len(key)-5:]} {
		if err := Check(key, bad); !errors.Is(err, ErrCode) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "short", key + "A", strings.Repeat("!", 43), key[:42] + "="} {
		if err := Check(bad, code); !errors.Is(err, ErrKey) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
}

// A terminal that nobody approves is told to ask again when its answer was held back long
// enough, also where that ends just while it is looked for.
func TestATerminalThatNobodyApprovesYetIsToldToAskAgain(t *testing.T) {
	allowed := &few{}
	allowed.left.Store(50)
	terms := New(Config{Store: storetest.Open(t, storetest.SQLite(t)), Buckets: allowed, Log: slog.Default()})
	terms.hold = lookEvery
	mux := http.NewServeMux()
	mux.Handle(Pattern, terms)
	var wg sync.WaitGroup
	for range 50 {
		key, _, _ := newKey(t)
		wg.Go(func() {
			got := httptest.NewRecorder()
			mux.ServeHTTP(got, httptest.NewRequestWithContext(t.Context(), "GET", "/api/cli/login/"+key, nil))
			if got.Code != http.StatusNoContent {
				t.Errorf("%d %s", got.Code, got.Body)
			}
		})
	}
	wg.Wait()
}

// Of many approvals of one terminal one counts, on either store, and what waits for it
// hears of it while it waits.
func TestT32_OneApprovalOfATerminalCountsAndReachesItWhileItWaits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		ann := hired(t, s, f, store.AllEnvs)
		allowed := &few{}
		allowed.left.Store(2)
		terms := New(Config{Store: s, Buckets: allowed, Log: slog.Default()})
		mux := http.NewServeMux()
		mux.Handle(Pattern, terms)
		srv := httptest.NewServer(mux)
		defer srv.Close()
		key, public, private := newKey(t)
		type answer struct {
			status int
			body   []byte
		}
		came := make(chan answer, 1)
		go func() {
			status, body := get(t, srv.URL+"/api/cli/login/"+key)
			came <- answer{status, body}
		}()
		var wg sync.WaitGroup
		var good atomic.Int64
		for range 20 {
			wg.Go(func() {
				err := terms.Approve(t.Context(), Approval{Org: f.Env.Org, Staff: ann, Name: "Ann", Key: key, Code: Code(key), Role: "user", Life: time.Hour, By: audit.Principal{Role: "owner"}})
				switch {
				case err == nil:
					good.Add(1)
				case !errors.Is(err, ErrUsed) && !errors.Is(err, store.ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := <-came
		text, ok := box.OpenAnonymous(nil, got.body, public, private)
		if good.Load() != 1 || got.status != http.StatusOK || !ok || !strings.HasPrefix(string(text), "postern_") {
			t.Errorf("%d approvals counted; the terminal got %d", good.Load(), got.status)
		}
		if status, _ := get(t, srv.URL+"/api/cli/login/short"); status != http.StatusBadRequest {
			t.Errorf("a key that is none: %d", status)
		}
		allowed.left.Store(0)
		if status, _ := get(t, srv.URL+"/api/cli/login/"+key); status != http.StatusTooManyRequests {
			t.Errorf("too many questions: %d", status)
		}
	})
}

// hired adds somebody to the staff, of some environments.
func hired(t *testing.T, s *store.Store, f storetest.Fixture, envs ...string) (id string) {
	t.Helper()
	who := store.Staff{Org: f.Env.Org, ID: store.NewID(), Name: "Ann", Mail: "ann@example.com", Role: store.RoleUser, Envs: envs}
	if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.AddStaff(t.Context(), &who) }); err != nil {
		t.Fatal(err)
	}
	return who.ID
}

func TestT25_ATerminalReachesWhatItsApproverReaches(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	terms := New(Config{Store: s, Buckets: &few{}, Log: slog.Default()})
	key, _, _ := newKey(t)
	err := terms.Approve(t.Context(), Approval{Org: f.Env.Org, Staff: hired(t, s, f, f.Env.ID), Name: "Ann", Key: key, Code: Code(key), Role: "user", Life: time.Hour, By: audit.Principal{Role: "user"}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.APIKey, error) { return tx.APIKeys(t.Context(), f.Env.Org) })
	if err != nil || len(keys) != 1 || !keys[0].Admits(f.Env.ID) || keys[0].Admits("another") {
		t.Errorf("%+v, %v", keys, err)
	}
}

func get(t *testing.T, address string) (int, []byte) {
	resp, err := http.Get(address)
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	b := make([]byte, 1024)
	n, _ := resp.Body.Read(b)
	return resp.StatusCode, b[:n]
}

// The page asked who they are some moments before.
func TestT32_WhoIsLimitedOrSuspendedMeanwhileSignsNoTerminalIn(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	terms := New(Config{Store: s, Buckets: &few{}, Log: slog.Default()})
	ann := hired(t, s, f, store.AllEnvs)
	key, _, _ := newKey(t)
	sign := func(role string) error {
		return terms.Approve(t.Context(), Approval{Org: f.Env.Org, Staff: ann, Name: "Ann", Key: key, Code: Code(key), Role: role, Life: time.Hour, By: audit.Principal{Role: role}})
	}
	if err := sign(store.RoleAdmin); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a user gives an administrator's key: %v", err)
	}
	if err := s.Tx(t.Context(), func(tx *store.Tx) error {
		n, err := tx.SuspendStaff(t.Context(), f.Env.ID, "none", "none", []string{"ann@example.com"}, tx.Now().Add(72*time.Hour))
		if n != 1 {
			t.Error(n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := sign(store.RoleUser); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("somebody who is suspended signs a terminal in: %v", err)
	}
	keys, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.APIKey, error) { return tx.APIKeys(t.Context(), f.Env.Org) })
	if err != nil || len(keys) != 0 {
		t.Errorf("%+v, %v", keys, err)
	}
}

func TestT32_NoKeyOfATerminalLivesLongerThanThirtyDays(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	f := storetest.Seed(t, s)
	terms := New(Config{Store: s, Buckets: &few{}, Log: slog.Default()})
	key, _, _ := newKey(t)
	for _, life := range []time.Duration{0, -time.Hour, MaxLife + time.Second} {
		if err := terms.Approve(t.Context(), Approval{Org: f.Env.Org, Key: key, Code: Code(key), Role: "user", Life: life}); !errors.Is(err, ErrLife) {
			t.Errorf("%s: %v", life, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(strings.Repeat("A", 43), "K7QF-2M9T")
	f.Fuzz(func(t *testing.T, key, typed string) {
		if Check(key, typed) == nil && !Valid(key) {
			t.Error("a code of no key fits")
		}
	})
}
