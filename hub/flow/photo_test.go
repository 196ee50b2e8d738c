package flow_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/protocol"
)

// photographs is a stack whose unlocking has the policy photo, with its queue of reviews.
func photographs(t *testing.T, c store.Config) (*stack, *review.Reviews) {
	t.Helper()
	var reviews *review.Reviews
	s := newStack(t, c, func(f *config) {
		reviews = review.New(f.Store, f.Log)
		f.Verifiers = append(f.Verifiers, reviews)
		f.does.Picture = capture.CleanPhoto
	})
	reviews.Flow = s.Recoveries
	s.settings(func(d *store.DirectorySettings) {
		d.Policies.Unlock = []byte(`{"groups":[],"default":"photo"}`)
		d.Methods = []byte(`{"default":[["mail_code"]]}`)
	})
	return s, reviews
}

// setPhoto gives the account of ada a photo.
func (s *stack) setPhoto(face []byte) {
	s.t.Helper()
	err := s.store.Tx(s.t.Context(), func(tx *store.Tx) error {
		a, err := tx.AccountOf(s.t.Context(), s.env, s.dir, "ada")
		return errors.Join(err, tx.SetAccountPhoto(s.t.Context(), s.env, a.ID, "sum", face))
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestThePolicyPhotoRefusesAfterTheProofWithoutAPhoto(t *testing.T) {
	s, _ := photographs(t, storetest.SQLite(t))
	s.person("ada")
	b, code := s.asked("ada@example.com", protocol.ActionUnlock)
	if err := b.submit(code); err != nil {
		t.Fatal(err)
	}
	if v := b.view(); v.Step != flow.StepRefused || v.Problem != recovery.ProblemNotAllowed {
		t.Errorf("step %s, problem %q", v.Step, v.Problem)
	}
}

// Where no operator gave a photo, the agent reads the directory's for this recovery; where
// one did, or another policy holds, nobody asks for it.
func TestTheDirectoryLendsAPhotoWhereThePolicyComparesOne(t *testing.T) {
	c := storetest.SQLite(t)
	s, reviews := photographs(t, c)
	s.person("ada")
	s.person("ben")
	s.person("cleo")
	var face bytes.Buffer
	if err := jpeg.Encode(&face, image.NewGray(image.Rect(0, 0, 64, 48)), nil); err != nil {
		t.Fatal(err)
	}
	s.agent.set(func(a *testAgent) {
		a.photos = map[string][]byte{"ada": face.Bytes(), "ben": []byte("\xff\xd8\xff, and no picture")}
	})
	b, code := s.asked("ada@example.com", protocol.ActionUnlock)
	if err := b.submit(code); err != nil {
		t.Fatal(err)
	}
	if v := b.view(); v.Step != flow.StepProve || !slices.Equal(methodsOf(v), []policy.Method{policy.DocumentReview}) {
		t.Fatalf("after the code: %+v", v)
	}
	a, err := store.Get(t.Context(), s.store, func(tx *store.Tx) (store.Account, error) { return tx.AccountOf(t.Context(), s.env, s.dir, "ada") })
	if err != nil || !a.Photo.Lent() || a.Photo.Until.Before(s.clock.now().Add(24*time.Hour)) {
		t.Errorf("the photo: %+v, %v", a.Photo, err)
	}
	b.settled("proving")
	b.captured(reviews, face.Bytes())
	id, err := reviews.Take(t.Context(), s.env, "S-ann")
	if err != nil {
		t.Fatal(err)
	}
	v, err := reviews.Case(t.Context(), s.env, id, "S-ann")
	if err != nil || !slices.Contains(v.Images, review.AccountPhoto) || !slices.Contains(v.Points, review.AccountPhoto) {
		t.Errorf("the case: %v, %v, %v", v.Images, v.Points, err)
	}
	for _, who := range []string{"ben", "cleo"} { // no picture in the file, and none at all
		b, code := s.asked(who+"@example.com", protocol.ActionUnlock)
		if err := b.submit(code); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepRefused || v.Problem != recovery.ProblemNotAllowed {
			t.Errorf("%s: step %s, problem %q", who, v.Step, v.Problem)
		}
	}
	asked := s.agent.count(protocol.MethodPhoto)
	if b, code = s.asked("ada@example.com", protocol.ActionPassword); b.submit(code) != nil || s.agent.count(protocol.MethodPhoto) != asked {
		t.Errorf("%d questions under a policy that compares names", s.agent.count(protocol.MethodPhoto)-asked)
	}
	if v := b.view(); v.Step == flow.StepRefused || slices.Contains(methodsOf(v), policy.DocumentReview) {
		t.Errorf("a lent photo counts under another policy: %+v", v)
	}
}

func TestThePolicyPhotoPermitsWhomPeopleCompared(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s, reviews := photographs(t, c)
		s.person("ada")
		var face bytes.Buffer
		if err := jpeg.Encode(&face, image.NewGray(image.Rect(0, 0, 64, 48)), nil); err != nil {
			t.Fatal(err)
		}
		s.setPhoto(face.Bytes())
		b, code := s.asked("ada@example.com", protocol.ActionUnlock)
		if err := b.submit(code); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepProve || !slices.Equal(methodsOf(v), []policy.Method{policy.DocumentReview}) {
			t.Fatalf("after the code: %+v", v)
		}
		b.settled("proving")
		b.captured(reviews, face.Bytes())
		id, err := reviews.Take(t.Context(), s.env, "S-ann")
		if err != nil {
			t.Fatal(err)
		}
		decide := func(checks []string) error {
			return reviews.Decide(t.Context(), s.env, id, "S-ann", review.Accept, "", checks, audit.Principal{Role: "owner"})
		}
		if err := decide(review.Checklist); !errors.Is(err, review.ErrAnswer) {
			t.Errorf("accepted without the photo: %v", err)
		}
		v, err := reviews.Case(t.Context(), s.env, id, "S-ann")
		if err != nil || !slices.Contains(v.Images, review.AccountPhoto) || !slices.Contains(v.Points, review.AccountPhoto) {
			t.Errorf("the case: %v, %v, %v", v.Images, v.Points, err)
		}
		if err := decide(v.Points); err != nil {
			t.Fatal(err)
		}
		if v := b.view(); v.Step != flow.StepReady {
			t.Fatalf("step %s, problem %q", v.Step, v.Problem)
		}
		if err := b.press(); err != nil || b.view().Step != flow.StepDone {
			t.Errorf("pressed: %v", err)
		}
	})
}

// captured hands a case in.
func (b *browser) captured(reviews *review.Reviews, face []byte) {
	b.t.Helper()
	c, err := store.Get(b.t.Context(), b.store, func(tx *store.Tx) (store.Review, error) {
		return tx.ReviewOf(b.t.Context(), b.env, b.verification().ID)
	})
	given := review.Given{Consent: true, Images: map[string][]byte{"front": face, "selfie": face}}
	if err = errors.Join(err, reviews.Keep(context.WithoutCancel(b.t.Context()), b.env, c.ID, given)); err != nil {
		b.t.Fatal(err)
	}
	if err := b.submit(review.Submitted); err != nil {
		b.t.Fatal(err)
	}
}
