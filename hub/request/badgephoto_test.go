package request_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/review"
)

// queue hands photos to the reviewers' queue.
type queue struct{ *review.Reviews }

// JudgeBadge implements request.Faces.
func (queue) JudgeBadge(context.Context, string, []byte, []byte) (request.Judgement, error) {
	return request.Judgement{People: true}, nil
}

// AskPeople implements request.Faces.
func (q queue) AskPeople(ctx context.Context, tx *store.Tx, a request.AskedPhoto) (time.Time, error) {
	return q.AskBadge(ctx, tx, review.BadgeOrder{Env: a.Env, Use: a.Use, Person: a.Person, Name: a.Name, Subject: a.Subject, Addresses: a.Addresses, Ends: a.Ends})
}

// decides lets a reviewer decide about the only photo.
func (d *desk) decides(q queue, verdict review.Verdict, reason string) {
	d.Helper()
	env, who := d.fixture.Env.ID, review.Nameless+store.NewID()
	id, err := q.Take(d.Context(), env, who)
	if err == nil {
		err = q.DecideBadge(d.Context(), env, id, who, verdict, reason, review.BadgeChecklist, audit.Principal{Role: "owner"})
	}
	d.ok(err)
}

func TestOnlyAPhotoThatPeopleTookIsSharedAndTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		q := queue{review.New(s, nil)}
		q.Badges, d.Faces = d.Requests, q
		env, mails := d.fixture.Env.ID, d.calls()
		p := d.admitted(request.BadgeOrder{Label: "ada@example.com"})
		p.shares()
		told := len(d.told)
		give := func() {
			t.Helper()
			if faults, _, err := p.gives(photo(t, 400, 1)); err != nil || len(faults) > 0 {
				t.Fatal(faults, err)
			}
		}
		give()
		b, err := d.Badge(t.Context(), env, p.id, p.session)
		if err != nil || b.Asked.IsZero() || !b.Since.IsZero() || b.Until.Before(b.Asked.Add(24*time.Hour)) {
			t.Fatalf("people are asked: %+v, %v", b, err)
		}
		if len(d.pictures) != 0 || len(d.told) != told || len(d.recorded(audit.PeopleSetPicture)) != 0 {
			t.Errorf("before anybody decided webhooks hear %v %v", d.pictures, d.told[told:])
		}
		if _, err := d.BadgePhoto(t.Context(), env, p.id, p.session, store.PictureAsked); err != nil {
			t.Errorf("its person cannot see it: %v", err)
		}
		if _, err := d.BadgePhoto(t.Context(), env, p.id, "another session", store.PictureAsked); !errors.Is(err, request.ErrNotFound) {
			t.Errorf("another browser sees it: %v", err)
		}
		d.decides(q, review.Refuse, "covered")
		b, err = d.Badge(t.Context(), env, p.id, p.session)
		if err != nil || b.Refused != "covered" || !b.Asked.IsZero() || len(d.pictures) != 1 || d.pictures[0].Error != "covered" {
			t.Errorf("refused: %+v %+v, %v", b, d.pictures, err)
		}
		if _, err := d.BadgePhoto(t.Context(), env, p.id, p.session, store.PictureAsked); !errors.Is(err, request.ErrNoPhoto) {
			t.Errorf("what was refused is kept: %v", err)
		}
		if all := mails.decisions; len(all) != 1 || all[0].To != "ada@example.com" || all[0].Taken || !all[0].Until.After(d.Now()) || all[0].Request.Ticket == "" {
			t.Errorf("mailed of the refusal: %+v", all)
		}
		told = len(d.told)
		give()
		d.decides(q, review.Accept, "")
		if all := mails.decisions; len(all) != 2 || !all[1].Taken {
			t.Errorf("mailed that it was taken: %+v", all)
		}
		if want := []string{"profile_picture_accepted shared", "vault_profile_picture_added shared", "share name,picture"}; !slices.Equal(d.told[told:], want) {
			t.Errorf("told %q, want %q", d.told[told:], want)
		}
		b, err = d.Badge(t.Context(), env, p.id, p.session)
		if err != nil || b.Since.IsZero() || b.Refused != "" || len(d.pictures) != 2 || d.pictures[1].Error != "" {
			t.Errorf("taken: %+v %+v, %v", b, d.pictures, err)
		}
		given := d.pictures[1]
		d.tx(func(tx *store.Tx) error {
			got, err := d.Disclose(t.Context(), tx, env, given.Person, request.Want(nil, []string{"picture"}))
			if err != nil {
				return err
			}
			if got.Properties[0].Status != 200 || !strings.HasSuffix(got.Properties[0].Value.(string), given.Subject+"/picture") || len(got.Requests) != 1 || !slices.Contains(got.Requests[0].Claims, "picture") {
				t.Errorf("what is shared: %+v", got)
			}
			return nil
		})
		give()
		d.ok(d.TakeBack(t.Context(), env, p.id, p.session, request.Client{}))
		if list, err := q.List(t.Context(), env, "S-x"); err != nil || len(list) != 0 {
			t.Errorf("what was taken back still waits: %+v, %v", list, err)
		}
		if _, _, err := p.gives(photo(t, 400, 1)); !errors.Is(err, request.ErrStep) {
			t.Errorf("a photo after it was taken back: %v", err)
		}
	})
}

// Who left no address is mailed nothing, and a label is none unless it is an address.
func TestNobodyIsMailedWhoLeftNoAddress(t *testing.T) {
	d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
	q := queue{review.New(d.store, nil)}
	q.Badges, d.Faces = d.Requests, q
	mails := d.calls()
	for _, label := range []string{"", "Ada Lovelace <ada@example.com>", "ada@example.com, bob@example.com"} {
		p := d.admitted(request.BadgeOrder{Label: label})
		p.shares()
		if faults, _, err := p.gives(photo(t, 400, 1)); err != nil || len(faults) > 0 {
			t.Fatal(faults, err)
		}
		d.decides(q, review.Accept, "")
	}
	if len(mails.decisions) > 0 {
		t.Errorf("mailed %+v", mails.decisions)
	}
}

func TestAPersonLooksAtAPhotoBeforeTheySendIt(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		d := newDesk(t, storetest.Open(t, c))
		env := d.fixture.Env.ID
		p := d.admitted(request.BadgeOrder{})
		p.shares()
		draft := func(body []byte) ([]request.Fault, error) {
			return d.DraftBadge(t.Context(), env, p.id, p.session, body)
		}
		if faults, err := draft(photo(t, 400, 6)); err != nil || !slices.Equal(faults, []request.Fault{"dark"}) {
			t.Errorf("a dark one: %v %v", faults, err)
		}
		if _, _, err := d.SendDraft(t.Context(), env, p.id, p.session, request.Client{}); !errors.Is(err, request.ErrStep) {
			t.Errorf("sent without one: %v", err)
		}
		look := func() bool {
			t.Helper()
			b, err := d.Badge(t.Context(), env, p.id, p.session)
			_, photoErr := d.BadgePhoto(t.Context(), env, p.id, p.session, store.PictureDraft)
			d.ok(err)
			return b.Draft && photoErr == nil
		}
		put := func() {
			t.Helper()
			if faults, err := draft(photo(t, 400, 1)); err != nil || len(faults) > 0 || !look() {
				t.Fatalf("%v %v, shown %v", faults, err, look())
			}
		}
		put()
		d.ok(d.DropDraft(t.Context(), env, p.id, p.session))
		if look() || len(d.pictures) != 0 {
			t.Errorf("after it was dropped, told %v", d.pictures)
		}
		put()
		d.mu.Lock()
		d.now = d.now.Add(2 * time.Hour)
		d.mu.Unlock()
		d.ok(d.Sweep(t.Context()))
		left, err := store.Get(t.Context(), d.store, func(tx *store.Tx) ([]string, error) {
			return store.All(t.Context(), tx, store.Text, "SELECT kind FROM person_pictures")
		})
		if err != nil || len(left) > 0 {
			t.Errorf("a photo that was not sent is kept for hours: %q, %v", left, err)
		}
	})
	t.Run("sent", func(t *testing.T) {
		d := newDesk(t, storetest.Open(t, storetest.SQLite(t)))
		env := d.fixture.Env.ID
		p := d.admitted(request.BadgeOrder{})
		p.shares()
		if faults, err := d.DraftBadge(t.Context(), env, p.id, p.session, photo(t, 400, 1)); err != nil || len(faults) > 0 {
			t.Fatal(faults, err)
		}
		if faults, _, err := d.SendDraft(t.Context(), env, p.id, p.session, request.Client{}); err != nil || len(faults) > 0 || len(d.pictures) != 1 || d.pictures[0].Error != "" {
			t.Errorf("%v %v %+v", faults, err, d.pictures)
		}
		if b, err := d.Badge(t.Context(), env, p.id, p.session); err != nil || b.Draft || b.Since.IsZero() {
			t.Errorf("%+v %v", b, err)
		}
		if id, err := d.ResumeBadge(t.Context(), env, map[string]string{"no such use": "x", p.id: p.session}); err != nil || id != p.id {
			t.Errorf("come back to %q, %v", id, err)
		}
	})
}
