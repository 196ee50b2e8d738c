package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// Times.
const (
	every   = 2 * time.Second  // rounds of moving and removing; a picture is here no longer
	oneTask = 30 * time.Second // for one object: a picture over a slow line
)

// Config is what a Storage is made of; every member is needed.
type Config struct {
	Store     *store.Store
	Transport http.RoundTripper // goes only where settings of environments may lead
	Log       *slog.Logger
}

// Storage moves pictures to where organisations keep them. It is safe for use by
// many goroutines, and by many nodes at once.
type Storage struct {
	cfg  Config
	open func(Settings, http.RoundTripper) (place, error)
}

// New returns a Storage.
func New(cfg Config) *Storage { return &Storage{cfg, open} }

// Run moves and removes until ctx ends.
func (s *Storage) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := ""; ; {
		if now := says(s.Round(ctx)); now != last && ctx.Err() == nil {
			if last = now; now != "" { // once: what does not open is met in every round
				s.cfg.Log.WarnContext(ctx, "objects could not be moved or removed", "error", now)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// says is the text of an error, "" for none.
func says(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Round is one round of Run. A storage that fails is no error of the round: what should
// be there stays in the store, sealed, until it answers; the failure stands beside its
// settings, and in the log.
func (s *Storage) Round(ctx context.Context) error {
	return errors.Join(s.moveAll(ctx), s.removeAll(ctx)) // what is to be erased waits for no picture that cannot be moved
}

// maxNamed is how many pictures that do not open the error of a round names.
const maxNamed = 20

// moveAll goes through the pictures that have to move, once. One that does not open stays
// where it is, and holds no other up: the error names it.
func (s *Storage) moveAll(ctx context.Context) error {
	var wrong []error
	failing, from := map[string]bool{}, store.MoveFrom{}
	for {
		var due []store.SealedImage
		next := from
		err := s.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
			due, next, err = tx.ImagesToMove(ctx, from)
			return err
		})
		if from = next; err != nil || len(due) == 0 {
			return errors.Join(append(wrong, err)...)
		}
		for _, image := range due {
			if failing[image.Storage] {
				continue
			}
			moved, err := s.move(ctx, image)
			if does := (*store.Unreadable)(nil); errors.As(err, &does) {
				if len(wrong) < maxNamed {
					wrong = append(wrong, does)
				}
				continue
			}
			if err != nil {
				return errors.Join(append(wrong, err)...)
			}
			failing[image.Storage] = !moved
		}
	}
}

// move writes one object, reads it back, and only then forgets it here. It reports whether
// the storage took it.
func (s *Storage) move(ctx context.Context, image store.SealedImage) (bool, error) {
	to, err := store.Change(ctx, s.cfg.Store, func(tx *store.Tx) (store.Move, error) { return tx.PlanMove(ctx, image) })
	if errors.Is(err, store.ErrConflict) {
		return true, nil // replaced or erased meanwhile
	}
	if err != nil {
		return false, err
	}
	failure := s.task(ctx, image.Env, image.Storage, func(ctx context.Context, p place) error { return keep(ctx, p, to.Object, to.Body) })
	if failure != nil {
		return false, s.note(ctx, image.Env, image.Storage, failure)
	}
	err = s.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return tx.ImageMoved(ctx, to) })
	if err != nil && !errors.Is(err, store.ErrConflict) { // replaced meanwhile; its object is removed in time
		return false, err
	}
	return true, s.note(ctx, image.Env, image.Storage, nil)
}

func (s *Storage) removeAll(ctx context.Context) error {
	due, err := store.Get(ctx, s.cfg.Store, func(tx *store.Tx) ([]store.Removal, error) { return tx.DueRemovals(ctx) })
	if err != nil {
		return err
	}
	failing := map[string]bool{}
	for _, r := range due {
		if failing[r.Storage] {
			continue
		}
		failure := s.task(ctx, r.Env, r.Storage, func(ctx context.Context, p place) error { return p.remove(ctx, r.Object) })
		if failure == nil {
			err = s.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return tx.Removed(ctx, r) })
		}
		if err := errors.Join(err, s.note(ctx, r.Env, r.Storage, failure)); err != nil {
			return err
		}
		failing[r.Storage] = failure != nil
	}
	return nil
}

// task does something at the place of one storage, within its time.
func (s *Storage) task(ctx context.Context, env, id string, do func(context.Context, place) error) error {
	row, err := store.Get(ctx, s.cfg.Store, func(tx *store.Tx) (store.Storage, error) { return tx.StorageOf(ctx, env, id) })
	if err != nil {
		return err
	}
	var set Settings
	if err := json.Unmarshal(row.Settings, &set); err != nil {
		return err
	}
	p, err := s.open(set, s.cfg.Transport)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, oneTask)
	defer cancel()
	return do(ctx, p)
}

// note keeps how a storage did, for its administrator. A node that stops says nothing.
func (s *Storage) note(ctx context.Context, env, id string, failure error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := ""
	if failure != nil {
		text = said(failure)
		s.cfg.Log.WarnContext(ctx, "a storage fails; what should go there stays here", "env", env, "storage", id, "reason", text)
	}
	err := s.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return tx.StorageResult(ctx, env, id, text) })
	if errors.Is(err, store.ErrNotFound) { // forgotten meanwhile
		return nil
	}
	return err
}

// A failure is an error of a storage for logs. Its own text may have the address that was
// asked, and that of a container of Azure has the signature that admits to it.
type failure struct{ err error }

// Error implements error.
func (f *failure) Error() string { return "storage: " + said(f.err) }

// Unwrap gives the storage's error.
func (f *failure) Unwrap() error { return f.err }

// Object returns an object of a storage, active or former. A failure is kept for its
// administrator.
func (s *Storage) Object(ctx context.Context, env, id, name string) (body []byte, err error) {
	err = s.task(ctx, env, id, func(ctx context.Context, p place) (err error) {
		if body, err = p.get(ctx, name); err != nil {
			return &failure{err}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, s.note(ctx, env, id, err))
	}
	return body, nil
}

// errOther says that a storage gave back something else than it was given.
var errOther = &Wrong{"settings", "the storage gave back something else than was written"}

// keep writes an object and reads it back: what a service lost or changed is noticed
// while it is still here.
func keep(ctx context.Context, p place, name string, body []byte) error {
	if err := p.put(ctx, name, body); err != nil {
		return err
	}
	got, err := p.get(ctx, name)
	if err == nil && !bytes.Equal(got, body) {
		err = errOther
	}
	return err
}

// Test writes an object to settings that need not be anybody's yet, reads it, removes it,
// and says what went wrong in words for an administrator; "" if nothing did.
func (s *Storage) Test(ctx context.Context, set Settings) string {
	p, err := s.open(set, s.cfg.Transport)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, oneTask)
		defer cancel()
		err = try(ctx, p)
	}
	if err != nil {
		return said(err)
	}
	return ""
}

func try(ctx context.Context, p place) error {
	name := "postern/test-" + store.NewID()
	return errors.Join(keep(ctx, p, name, []byte(rand.Text())), p.remove(ctx, name))
}
