package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// shelf is a place in memory that can be told to fail. The real ones are tried by the
// tests of internal/interop.
type shelf struct {
	mu      sync.Mutex
	objects map[string][]byte
	fails   error
	mangles bool // it takes what it does not keep
}

func (s *shelf) put(_ context.Context, name string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails == nil {
		s.objects[name] = bytes.Clone(body)
	}
	if s.mangles {
		s.objects[name] = body[:1]
	}
	return s.fails
}

func (s *shelf) get(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.objects[name]
	if !ok {
		return nil, errors.Join(ErrGone, s.fails)
	}
	return b, s.fails
}

func (s *shelf) remove(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails == nil {
		delete(s.objects, name)
	}
	return s.fails
}

// rig is an environment with a storage and a case with pictures.
type rig struct {
	t     *testing.T
	store *store.Store
	env   string
	id    string // of the case
	shelf *shelf
	*Storage
}

var bucket = Settings{S3EU: "bucket", Key: "k", Secret: "s"}

func newRig(t *testing.T, s *store.Store) *rig {
	f := storetest.Seed(t, s)
	g := &rig{t: t, store: s, env: f.Env.ID, id: store.NewID(), shelf: &shelf{objects: map[string][]byte{}}}
	g.Storage = New(Config{Store: s, Transport: http.DefaultTransport, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	g.open = func(Settings, http.RoundTripper) (place, error) { return g.shelf, nil }
	g.tx(func(tx *store.Tx) error {
		r := store.Review{Env: g.env, ID: g.id, Verification: "v", Directory: f.Directory.ID, Person: "p", State: store.ReviewOpen, Round: 1, Reviewers: 1, EndsAt: tx.Now().Add(time.Hour)}
		return errors.Join(tx.AddReview(t.Context(), &r), tx.PutReviewImage(t.Context(), g.env, g.id, "front", []byte("a face on paper")), tx.SetStorage(t.Context(), g.env, []byte(store.JSON(bucket))))
	})
	return g
}

func (g *rig) tx(fn func(*store.Tx) error) {
	g.t.Helper()
	if err := g.store.Tx(g.t.Context(), fn); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) round() {
	g.t.Helper()
	if err := g.Round(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
}

// picture reads the picture from wherever it is, and says whether it is elsewhere.
func (g *rig) picture() (body string, elsewhere bool) {
	g.t.Helper()
	b, err := store.Get(g.t.Context(), g.store, func(tx *store.Tx) ([]byte, error) { return tx.ReviewImage(g.t.Context(), g.env, g.id, "front") })
	var away *store.Elsewhere
	if errors.As(err, &away) {
		var sealed []byte
		if sealed, err = g.Object(g.t.Context(), g.env, away.Storage, away.Object); err == nil {
			b, err = store.Get(g.t.Context(), g.store, func(tx *store.Tx) ([]byte, error) {
				return tx.OpenReviewImage(g.t.Context(), g.env, g.id, "front", away.Object, sealed)
			})
		}
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return string(b), away != nil
}

func (g *rig) state() (s store.Storage, moves, removals int) {
	g.t.Helper()
	g.tx(func(tx *store.Tx) (err error) {
		if s, err = tx.ActiveStorage(g.t.Context(), g.env); err == nil {
			moves, removals, err = tx.StorageWaiting(g.t.Context(), g.env)
		}
		return err
	})
	return s, moves, removals
}

// again lets a storage that failed be tried at once.
func (g *rig) again() {
	g.tx(func(tx *store.Tx) error {
		_, err := tx.Exec(g.t.Context(), "UPDATE storages SET next_at = 0")
		return err
	})
}

func TestPicturesGoToTheOrganisationsStorageSealedAndComeBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newRig(t, s)
		g.round()
		if body, elsewhere := g.picture(); body != "a face on paper" || !elsewhere || len(g.shelf.objects) != 1 {
			t.Fatalf("%q, elsewhere %v, %d objects", body, elsewhere, len(g.shelf.objects))
		}
		for name, object := range g.shelf.objects {
			if bytes.Contains(object, []byte("face")) || !strings.HasPrefix(name, "postern/") {
				t.Errorf("%s holds %q", name, object)
			}
		}
		left, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]string, error) {
			return store.All(t.Context(), tx, store.Text, "SELECT body FROM review_images WHERE env = $1", g.env)
		})
		if err != nil || len(left) != 1 || len(left[0]) > 60 {
			t.Errorf("the store still holds %q, %v", left, err)
		}
		if st, moves, removals := g.state(); st.OK.IsZero() || moves+removals != 0 {
			t.Errorf("state %+v, %d to move, %d to remove", st, moves, removals)
		}
		g.tx(func(tx *store.Tx) error {
			return tx.PutReviewImage(t.Context(), g.env, g.id, "front", []byte("made again"))
		})
		g.round()
		if body, elsewhere := g.picture(); body != "made again" || !elsewhere || len(g.shelf.objects) != 1 {
			t.Errorf("%q, elsewhere %v, %d objects", body, elsewhere, len(g.shelf.objects))
		}
		g.tx(func(tx *store.Tx) error { return tx.EraseReview(t.Context(), g.env, g.id) })
		g.round()
		if len(g.shelf.objects) != 0 {
			t.Error("an erased case left objects in the storage")
		}
	})
}

func TestAFailingStorageLosesNothingAndSaysSo(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)))
	g.shelf.fails = errors.New("secret address https://x/?sig=abc")
	g.round()
	if body, elsewhere := g.picture(); body != "a face on paper" || elsewhere {
		t.Errorf("%q, elsewhere %v", body, elsewhere)
	}
	st, moves, _ := g.state()
	if st.Error == "" || st.Failed.IsZero() || moves != 1 || strings.Contains(st.Error, "sig=") {
		t.Errorf("state %+v, %d to move", st, moves)
	}
	g.shelf.fails = nil
	g.round()
	if _, elsewhere := g.picture(); elsewhere {
		t.Error("a failing storage is tried without a pause")
	}
	g.again()
	g.round()
	if body, elsewhere := g.picture(); body != "a face on paper" || !elsewhere {
		t.Errorf("%q, elsewhere %v", body, elsewhere)
	}
	if st, moves, _ := g.state(); st.Error != "" || moves != 0 {
		t.Errorf("state %+v, %d to move", st, moves)
	}
	g.shelf.fails = errors.New("down")
	g.tx(func(tx *store.Tx) error { return tx.EraseReview(t.Context(), g.env, g.id) })
	g.round()
	if _, _, removals := g.state(); removals != 1 {
		t.Errorf("%d objects wait for their removal; want 1", removals)
	}
	g.shelf.fails = nil
	g.again()
	g.round()
	if _, _, removals := g.state(); removals != 0 || len(g.shelf.objects) != 0 {
		t.Errorf("%d wait, %d objects", removals, len(g.shelf.objects))
	}
}

func TestAStorageThatTakesWhatItDoesNotKeepIsNoticed(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)))
	g.shelf.mangles = true
	g.round()
	if body, elsewhere := g.picture(); body != "a face on paper" || elsewhere {
		t.Errorf("%q, elsewhere %v", body, elsewhere)
	}
	if st, _, _ := g.state(); !strings.Contains(st.Error, "something else") {
		t.Errorf("state %+v", st)
	}
}

func TestAFormerStorageIsReadUntilNothingLiesThere(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)))
	g.round()
	g.tx(func(tx *store.Tx) error {
		return errors.Join(tx.SetStorage(t.Context(), g.env, nil), tx.PurgeStorages(t.Context()))
	})
	if body, elsewhere := g.picture(); body != "a face on paper" || !elsewhere {
		t.Fatalf("%q, elsewhere %v", body, elsewhere)
	}
	g.tx(func(tx *store.Tx) error { return tx.EraseReview(t.Context(), g.env, g.id) })
	g.round()
	g.tx(func(tx *store.Tx) error { return tx.PurgeStorages(t.Context()) })
	n, err := store.Get(t.Context(), g.store, func(tx *store.Tx) (n int64, err error) {
		err = tx.Row(t.Context(), []any{&n}, "SELECT COUNT(*) FROM storages")
		return n, err
	})
	if err != nil || n != 0 || len(g.shelf.objects) != 0 {
		t.Errorf("%d former storages with their keys, %d objects, %v", n, len(g.shelf.objects), err)
	}
}

func TestAnObjectThatNobodyNeedsIsRemoved(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)))
	due, err := store.Get(t.Context(), g.store, func(tx *store.Tx) ([]store.SealedImage, error) {
		due, _, err := tx.ImagesToMove(t.Context(), store.MoveFrom{})
		return due, err
	})
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	to, err := store.Change(t.Context(), g.store, func(tx *store.Tx) (store.Move, error) { return tx.PlanMove(t.Context(), due[0]) })
	if err != nil {
		t.Fatal(err)
	}
	_ = g.shelf.put(t.Context(), to.Object, to.Body) // and the node dies here
	g.round()
	if len(g.shelf.objects) != 2 {
		t.Fatalf("%d objects: what is being written was removed, or the picture was not moved again", len(g.shelf.objects))
	}
	if err := g.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.ImageMoved(t.Context(), to) }); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a picture is moved twice: %v", err)
	}
	g.tx(func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), "UPDATE storage_removals SET due_at = 1")
		return err
	})
	g.round()
	if body, elsewhere := g.picture(); len(g.shelf.objects) != 1 || body != "a face on paper" || !elsewhere {
		t.Errorf("%d objects, %q, elsewhere %v", len(g.shelf.objects), body, elsewhere)
	}
}

func TestSettingsThatCannotWorkAreRefusedByName(t *testing.T) {
	sas := "https://acme.blob.core.windows.net/evidence?sv=1&sig=abc"
	for field, s := range map[string]Settings{
		"storage": {}, "region": {S3EU: "b-1", S3US: "b-2", Key: "k", Secret: "s"}, "s3_access_key_id": {S3EU: "b-1", Secret: "s"}, "s3_secret_access_key": {S3EU: "b-1", Key: "k"},
		"s3_bucket_eu": {S3EU: "B/../x", Key: "k", Secret: "s"}, "aws_role_arn": {S3EU: "b-1", Role: "me", Key: "k", Secret: "s"}, "s3_endpoint": {S3EU: "b-1", Endpoint: "minio", Key: "k", Secret: "s"},
		"s3_region": {S3EU: "b-1", S3Region: "x/y", Key: "k", Secret: "s"}, "azure_blob_eu": {AzureEU: "https://acme.blob.core.windows.net/evidence"}, "azure_blob_in": {AzureIN: "ftp://x/y?sig=z"},
	} {
		var wrong *Wrong
		if err := s.Check(); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, s := range []Settings{
		{S3EU: "b-1", Key: "k", Secret: "s"}, {S3EU: "b-1", S3US: "b-2", Region: "eu", Key: "k", Secret: "s"}, {S3IN: "b-1", Role: "arn:aws:iam::123456789012:role/postern", Key: "k", Secret: "s"},
		{AzureEU: sas}, {S3US: "b-1", Endpoint: "https://minio.example.com", Key: "k", Secret: "s"},
	} {
		if err := s.Check(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	kept := Settings{AzureEU: sas, S3US: "b-1", Key: "k", Secret: "s", Region: "eu"}
	text, err := json.Marshal(kept.Shown())
	if err != nil || bytes.Contains(text, []byte("sig=")) || bytes.Contains(text, []byte("secret")) {
		t.Errorf("shown %s, %v", text, err)
	}
	back := kept.Shown()
	if back.Keep(kept); back != kept {
		t.Errorf("written as it was read: %+v", back)
	}
	moved := kept.Shown()
	moved.Endpoint = "https://evil.example.com"
	if moved.Keep(kept); moved.Secret != "" {
		t.Error("a kept secret goes to another service")
	}
}

func TestTheTestOfAStorageSaysWhatIsWrong(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)))
	if got := g.Test(t.Context(), bucket); got != "" || len(g.shelf.objects) != 0 {
		t.Errorf("%q, %d objects left", got, len(g.shelf.objects))
	}
	g.open = open
	nobody := Settings{AzureEU: "http://127.0.0.1:1/c?sig=canary"}
	if got := g.Test(t.Context(), nobody); got == "" || strings.Contains(got, "canary") {
		t.Errorf("where nobody answers: %q", got)
	}
}
