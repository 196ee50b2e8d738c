package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// faces is a rig with a person, an account with a photo, and no case.
type faces struct {
	*rig
	f   storetest.Fixture
	ada store.Account
}

func newFaces(t *testing.T, s *store.Store) *faces {
	g := &faces{rig: newRig(t, s)}
	g.tx(func(tx *store.Tx) error { return tx.EraseReview(t.Context(), g.env, g.id) })
	g.f = storetest.Seed(t, s)
	g.env = g.f.Env.ID
	g.f.Accounts(t, s, protocol.Account{ID: "1", Name: "Ada", Identifiers: []string{"ada"}}, protocol.Account{ID: "2", Name: "Bob"})
	g.tx(func(tx *store.Tx) (err error) {
		if g.ada, err = tx.AccountOf(t.Context(), g.env, g.f.Directory.ID, "1"); err != nil {
			return err
		}
		bob, err := tx.AccountOf(t.Context(), g.env, g.f.Directory.ID, "2")
		err = errors.Join(err, tx.SetStorage(t.Context(), g.env, []byte(store.JSON(bucket))), tx.AddPerson(t.Context(), g.env, "ann"),
			tx.SetAccountPhoto(t.Context(), g.env, g.ada.ID, "as sent", []byte("the face of ada")),
			tx.LendAccountPhoto(t.Context(), g.env, bob.ID, "as lent", []byte("a lent face"), tx.Now().Add(time.Hour)))
		for _, kind := range []string{store.PictureSelfie, store.PictureChosen, store.PictureDraft, store.PictureAsked} {
			err = errors.Join(err, tx.PutPicture(t.Context(), g.env, "ann", kind, []byte("the "+kind+" of ann")))
		}
		return err
	})
	return g
}

// fetch reads a picture from wherever it is, and says whether it is elsewhere.
func (g *faces) fetch(read func(context.Context, *store.Tx) ([]byte, error)) (string, bool, error) {
	look := func(tx *store.Tx) ([]byte, error) { return read(g.t.Context(), tx) }
	_, err := store.Get(g.t.Context(), g.store, look)
	away := (*store.Elsewhere)(nil)
	elsewhere := errors.As(err, &away)
	body, err := store.Fetch(g.t.Context(), g.store, g.Storage, look)
	return string(body), elsewhere, err
}

func (g *faces) picture(kind string) (string, bool, error) {
	return g.fetch(func(ctx context.Context, tx *store.Tx) ([]byte, error) {
		body, _, err := tx.Picture(ctx, g.env, "ann", kind)
		return body, err
	})
}

func (g *faces) photo() (string, bool, error) {
	return g.fetch(func(ctx context.Context, tx *store.Tx) ([]byte, error) { return tx.AccountPhoto(ctx, g.env, g.ada.ID) })
}

func (g *faces) sum() (sum string) {
	g.tx(func(tx *store.Tx) (err error) {
		sum, err = tx.AccountPhotoSum(g.t.Context(), g.env, g.ada.ID)
		return err
	})
	return sum
}

func TestPicturesOfPeopleAndPhotosOfAccountsGoToTheOrganisationsStorage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newFaces(t, s)
		digest := sha256.Sum256([]byte("the face of ada"))
		want := hex.EncodeToString(digest[:])
		if _, moves, _ := g.state(); moves != 3 || g.sum() != want {
			t.Errorf("%d to move, the sum %s", moves, g.sum())
		}
		g.round()
		if _, moves, removals := g.state(); len(g.shelf.objects) != 3 || moves+removals != 0 || g.sum() != want {
			t.Fatalf("%d objects, %d to move, %d to remove, the sum %s", len(g.shelf.objects), moves, removals, g.sum())
		}
		for name, object := range g.shelf.objects {
			if bytes.Contains(object, []byte("the ")) || !strings.HasPrefix(name, "postern/") {
				t.Errorf("%s holds %q", name, object)
			}
		}
		for kind, moves := range map[string]bool{store.PictureSelfie: true, store.PictureChosen: true, store.PictureDraft: false, store.PictureAsked: false} {
			if body, elsewhere, err := g.picture(kind); err != nil || body != "the "+kind+" of ann" || elsewhere != moves {
				t.Errorf("%s: %q, elsewhere %v, %v", kind, body, elsewhere, err)
			}
		}
		if body, elsewhere, err := g.photo(); err != nil || body != "the face of ada" || !elsewhere {
			t.Errorf("%q, elsewhere %v, %v", body, elsewhere, err)
		}
		if err := s.Rotate(t.Context(), bytes.Repeat([]byte{7}, store.MasterKeySize)); err != nil {
			t.Fatal(err)
		}
		if body, _, err := g.photo(); err != nil || body != "the face of ada" {
			t.Errorf("under another master key: %q, %v", body, err)
		}
		g.shelf.fails = errors.New("away")
		if _, _, err := g.photo(); !errors.Is(err, store.ErrElsewhere) {
			t.Errorf("from a storage that is away: %v", err)
		}
	})
}

// Whatever takes a picture away here takes it away there.
func TestNoPictureStaysInAStorageThatIsGoneHere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		for name, c := range map[string]struct {
			does func(g *faces, tx *store.Tx) error
			left int // objects, of three, and new ones
		}{
			"another picture": {func(g *faces, tx *store.Tx) error {
				return tx.PutPicture(ctx, g.env, "ann", store.PictureChosen, []byte("the new one"))
			}, 3},
			"a draft": {func(g *faces, tx *store.Tx) error {
				return tx.PutPicture(ctx, g.env, "ann", store.PictureDraft, []byte("the next"))
			}, 3},
			"removed": {func(g *faces, tx *store.Tx) error { return tx.RemovePicture(ctx, g.env, "ann", store.PictureChosen) }, 2},
			"erased":  {func(g *faces, tx *store.Tx) error { return tx.ErasePerson(ctx, g.env, "ann") }, 1},
			"another photo": {func(g *faces, tx *store.Tx) error {
				return tx.SetAccountPhoto(ctx, g.env, g.ada.ID, "sent", []byte("the new face"))
			}, 3},
			"a photo that was lent": {func(g *faces, tx *store.Tx) error {
				return tx.LendAccountPhoto(ctx, g.env, g.ada.ID, "lent", []byte("another"), tx.Now().Add(time.Hour))
			}, 3},
			"no photo":     {func(g *faces, tx *store.Tx) error { return tx.RemoveAccountPhoto(ctx, g.env, g.ada.ID) }, 2},
			"no directory": {func(g *faces, tx *store.Tx) error { return tx.DeleteDirectory(ctx, g.env, g.f.Directory.ID) }, 2},
			"the time is over": {func(g *faces, tx *store.Tx) error {
				r := store.Request{Env: g.env, ID: store.NewID(), State: "shared", Ticket: store.NewToken()}
				return errors.Join(tx.AddRequest(ctx, &r), tx.AddShare(ctx, g.env, store.Share{Request: r.ID, Person: "ann", Claims: []string{"picture"}, ExpiresAt: tx.Now()}),
					tx.PutProperty(ctx, g.env, "ann", store.Property{Claim: store.PictureClaim, Value: []byte(`"x"`), ExpiresAt: tx.Now()}),
					tx.EndShare(ctx, g.env, r.ID, "ann"))
			}, 1},
		} {
			t.Run(name, func(t *testing.T) {
				g := newFaces(t, s)
				g.round()
				if len(g.shelf.objects) != 3 {
					t.Fatalf("%d objects", len(g.shelf.objects))
				}
				g.tx(func(tx *store.Tx) error { return c.does(g, tx) })
				g.round()
				if len(g.shelf.objects) != c.left {
					t.Errorf("%d objects are left, want %d", len(g.shelf.objects), c.left)
				}
				g.tx(func(tx *store.Tx) error {
					return errors.Join(tx.SetStorage(ctx, g.env, nil), tx.PurgeStorages(ctx))
				})
				still, err := store.Get(ctx, s, func(tx *store.Tx) (n int, err error) {
					err = tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM storages WHERE env = $1", g.env)
					return n, err
				})
				if err != nil || still != 1 {
					t.Errorf("the key to what still lies there was forgotten: %d, %v", still, err)
				}
			})
		}
	})
}

// A row that nobody can open stays where it is; it keeps nothing else from being erased.
func TestAPhotoThatCannotBeOpenedKeepsNoObjectFromBeingRemoved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, g := t.Context(), newFaces(t, s)
		g.round()
		g.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE account_photos SET body = 'spoilt', storage = '', object = '' WHERE env = $1 AND person = $2", g.env, g.ada.ID)
			return errors.Join(err, tx.RemovePicture(ctx, g.env, "ann", store.PictureChosen))
		})
		if err := g.Round(ctx); err == nil {
			t.Error("the round says nothing of a photo that cannot be opened")
		}
		if _, _, removals := g.state(); removals != 0 || len(g.shelf.objects) != 2 {
			t.Errorf("%d removals wait, %d objects are there", removals, len(g.shelf.objects))
		}
	})
}

// Rows that nobody can open, more of them than are listed at once, hold up no other.
func TestPicturesThatCannotBeOpenedHoldUpNoOtherAndAreNamed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, g := t.Context(), newFaces(t, s)
		g.tx(func(tx *store.Tx) error {
			for i := range 20 {
				who := fmt.Sprintf("a%02d", i) // before ann
				if err := errors.Join(tx.AddPerson(ctx, g.env, who), tx.PutPicture(ctx, g.env, who, store.PictureSelfie, []byte("a face"))); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, "UPDATE person_pictures SET body = 'spoilt' WHERE env = $1 AND person < 'a12'", g.env)
			return err
		})
		for range 2 {
			err := g.Round(ctx)
			var one *store.Unreadable
			if !errors.As(err, &one) || strings.Count(err.Error(), "does not open:") != 12 || !strings.Contains(err.Error(), `person_pictures.body of the row "a07/selfie" of the environment `+g.env) {
				t.Errorf("%v", err)
			}
		}
		if _, moves, _ := g.state(); moves != 12 || len(g.shelf.objects) != 8+3 {
			t.Errorf("%d to move, %d objects", moves, len(g.shelf.objects))
		}
		if st, _, _ := g.state(); st.Error != "" || st.OK.IsZero() {
			t.Errorf("the storage is blamed: %+v", st)
		}
	})
}

// only is the one object of a storage whose name is none of these.
func (g *faces) only(names ...string) (name string) {
	g.t.Helper()
	for n := range g.shelf.objects {
		if !slices.Contains(names, n) {
			name = n
		}
	}
	return name
}

// A storage that gives back what it was given before, or another object, gives back nothing.
func TestAnObjectOpensUnderItsOwnNameAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, g := t.Context(), newFaces(t, s)
		g.tx(func(tx *store.Tx) error {
			return errors.Join(tx.RemovePicture(ctx, g.env, "ann", store.PictureSelfie), tx.RemoveAccountPhoto(ctx, g.env, g.ada.ID))
		})
		g.round()
		first := g.only()
		before := g.shelf.objects[first]
		g.tx(func(tx *store.Tx) error {
			return tx.PutPicture(ctx, g.env, "ann", store.PictureChosen, []byte("the new one"))
		})
		g.round()
		second := g.only(first)
		if body, elsewhere, err := g.picture(store.PictureChosen); err != nil || body != "the new one" || !elsewhere || second == "" {
			t.Fatalf("%q, elsewhere %v, %v", body, elsewhere, err)
		}
		now := g.shelf.objects[second]
		g.shelf.objects[second] = before
		if body, _, err := g.picture(store.PictureChosen); err == nil {
			t.Errorf("what was there before opens: %q", body)
		}
		g.shelf.objects[second] = now
		if body, _, err := g.picture(store.PictureChosen); err != nil || body != "the new one" {
			t.Errorf("%q, %v", body, err)
		}
	})
}

func TestAPictureOfACaseOpensUnderItsOwnNameAlone(t *testing.T) {
	g := newRig(t, storetest.Open(t, storetest.SQLite(t)))
	g.round()
	var before []byte
	for _, before = range g.shelf.objects {
	}
	g.tx(func(tx *store.Tx) error {
		return tx.PutReviewImage(t.Context(), g.env, g.id, "front", []byte("made again"))
	})
	g.round()
	for name := range g.shelf.objects {
		g.shelf.objects[name] = before
	}
	_, err := store.Fetch(t.Context(), g.store, g.Storage, func(tx *store.Tx) ([]byte, error) { return tx.ReviewImage(t.Context(), g.env, g.id, "front") })
	if err == nil {
		t.Error("what was there before opens")
	}
}

// former makes an object as versions before did, whose seal knows no name: that of the row
// in the store, as it is.
func (g *faces) former(table, where string, row ...any) (object []byte) {
	g.t.Helper()
	g.tx(func(tx *store.Tx) error {
		text, err := store.One(g.t.Context(), tx, store.Text, "SELECT body FROM "+table+" WHERE "+where, row...)
		if err == nil {
			object, err = base64.RawStdEncoding.DecodeString(text)
		}
		if err == nil {
			_, err = tx.Exec(g.t.Context(), "UPDATE "+table+" SET body = 'postern/former', storage = (SELECT id FROM storages WHERE storages.env = "+table+".env) WHERE "+where, row...)
		}
		return err
	})
	g.shelf.objects["postern/former"] = object
	return object
}

func TestObjectsOfFormerVersionsStillOpenAndStandForNoOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, g := t.Context(), newFaces(t, s)
		object := g.former("person_pictures", "env = $1 AND person = $2 AND kind = $3", g.env, "ann", store.PictureSelfie)
		if body, elsewhere, err := g.picture(store.PictureSelfie); err != nil || body != "the selfie of ann" || !elsewhere {
			t.Errorf("%q, elsewhere %v, %v", body, elsewhere, err)
		}
		g.round()
		g.tx(func(tx *store.Tx) error {
			return tx.PutPicture(ctx, g.env, "ann", store.PictureSelfie, []byte("the new one"))
		})
		g.round()
		if body, _, err := g.picture(store.PictureSelfie); err != nil || body != "the new one" {
			t.Fatalf("%q, %v", body, err)
		}
		for name := range g.shelf.objects {
			g.shelf.objects[name] = object
		}
		if body, _, err := g.picture(store.PictureSelfie); err == nil {
			t.Errorf("one of a former version stands for a new one: %q", body)
		}
	})
}

// The photo of an account lies under a key of its own, which former versions sealed under
// its place alone as well.
func TestAPhotoOfAFormerVersionStillOpens(t *testing.T) {
	g := newFaces(t, storetest.Open(t, storetest.SQLite(t)))
	k := store.PersonKey{Secret: bytes.Repeat([]byte{5}, 32)}
	sealed, err := k.Seal("postern/photo/v1\x00"+g.env+"\x00"+g.ada.ID, []byte("the face of ada"))
	if err != nil {
		t.Fatal(err)
	}
	if g.shelf.objects["postern/former"], err = base64.RawStdEncoding.DecodeString(sealed); err != nil {
		t.Fatal(err)
	}
	g.tx(func(tx *store.Tx) error {
		key, err := tx.Seal(store.Cell{Env: g.env, Table: "account_photos", Column: "body", Row: g.ada.ID}, k.Secret)
		if err != nil {
			return err
		}
		_, err = tx.Exec(t.Context(), "UPDATE account_photos SET body = $3, object = 'postern/former', storage = (SELECT id FROM storages WHERE storages.env = $1) WHERE env = $1 AND person = $2", g.env, g.ada.ID, key)
		return err
	})
	if body, elsewhere, err := g.photo(); err != nil || body != "the face of ada" || !elsewhere {
		t.Errorf("%q, elsewhere %v, %v", body, elsewhere, err)
	}
}

func TestAnEnvironmentWhosePicturesLieInAStorageCanBeRemoved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := newFaces(t, s)
		g.round()
		if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.DeleteEnvironment(t.Context(), g.env) }); err != nil {
			t.Fatal(err)
		}
		left, err := store.Get(t.Context(), s, func(tx *store.Tx) (n int, err error) {
			err = tx.Row(t.Context(), []any{&n}, "SELECT COUNT(*) FROM account_photos WHERE env = $1", g.env)
			return n, err
		})
		if err != nil || left != 0 {
			t.Errorf("%d photos are left, %v", left, err)
		}
		g.round()
	})
}

// Whoever asks for a picture writes the error into a log.
func TestTheErrorOfAPictureThatIsAwayHasNoSignature(t *testing.T) {
	g := newFaces(t, storetest.Open(t, storetest.SQLite(t)))
	g.round()
	nobody := fmt.Sprintf("http://127.0.0.1:%d/container?sv=2031&sig=canary", testenv.FreePort(t))
	g.open = func(Settings, http.RoundTripper) (place, error) { return openAzure(nobody, http.DefaultTransport) }
	_, _, err := g.photo()
	if !errors.Is(err, store.ErrElsewhere) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}
