package request_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/review"
)

func TestASelfieThatWasComparedIsKeptForWhoSharesItAndGoesWhenTheyTakeItBack(t *testing.T) {
	o := newOffice(t, true)
	r := o.create(request.Order{Claims: []string{"name", "picture"}, MaxUses: 1})
	p := o.opens(r)
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	o.ok(p.Choose(t.Context(), p.env, p.id, p.session, "document_review"))
	o.ok(o.decides(o.hands(p), "S-ann", review.Accept, read))
	if v := p.view(); v.Values["picture"] != true {
		t.Errorf("before the person said so: %+v", v.Values)
	}
	selfie := func() (body []byte, err error) {
		o.tx(func(tx *store.Tx) error {
			d, errRead := tx.Request(t.Context(), p.env, r.ID)
			body, _, err = tx.Picture(t.Context(), p.env, d.Person, store.PictureSelfie)
			return errRead
		})
		return body, err
	}
	if _, err := selfie(); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("kept before the person said so: %v", err)
	}
	o.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
	d := o.document(r)
	if want := "https://id.vendor.test/people/" + d.Subject + "/picture"; d.Properties.ProfilePicture != want {
		t.Errorf("%q; want %q", d.Properties.ProfilePicture, want)
	}
	if body, err := selfie(); err != nil || !bytes.HasPrefix(body, []byte("\xff\xd8\xff")) {
		t.Errorf("%.10q %v", body, err)
	}
	o.ok(p.TakeBack(t.Context(), p.env, p.id, p.session, request.Client{}))
	if events := o.events(); !strings.Contains(events, "end_user_revoke revoked, vault_profile_picture_removed revoked, reject ") {
		t.Error(events)
	}
	if _, err := selfie(); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("taken back: %v", err)
	}
}

// shelf holds what was moved out of the store.
type shelf map[string][]byte

// Object implements store.Shelf.
func (s shelf) Object(_ context.Context, _, _, name string) ([]byte, error) { return s[name], nil }

func TestASelfieThatLiesInTheOrganisationsStorageIsSharedLikeAnyOther(t *testing.T) {
	o := newOffice(t, true)
	kept := shelf{}
	o.reviews.Shelf = kept
	r := o.create(request.Order{Claims: []string{"name", "picture"}, MaxUses: 1})
	p := o.opens(r)
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	o.ok(p.Choose(t.Context(), p.env, p.id, p.session, "document_review"))
	id := o.hands(p)
	o.tx(func(tx *store.Tx) error {
		o.ok(tx.SetStorage(t.Context(), p.env, []byte("{}")))
		due, _, err := tx.ImagesToMove(t.Context(), store.MoveFrom{})
		for _, image := range due {
			to, err := tx.PlanMove(t.Context(), image)
			o.ok(err)
			kept[to.Object] = to.Body
			o.ok(tx.ImageMoved(t.Context(), to))
		}
		return err
	})
	o.ok(o.decides(id, "S-ann", review.Accept, read))
	o.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
	o.tx(func(tx *store.Tx) error {
		d, err := tx.Request(t.Context(), p.env, r.ID)
		body, _, errPicture := tx.Picture(t.Context(), p.env, d.Person, store.PictureSelfie)
		if len(kept) != 2 || !bytes.HasPrefix(body, []byte("\xff\xd8\xff")) {
			t.Errorf("%d moved; shared %.10q", len(kept), body)
		}
		return errors.Join(err, errPicture)
	})
}

func TestOnlyWhoComparesFacesGivesAPicture(t *testing.T) {
	o := newOffice(t, true)
	p := o.opens(o.create(request.Order{Claims: []string{"picture"}, MaxUses: 1}))
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7"}))
	if v := p.view(); v.Step != request.StepProve || string(v.Method) != "document_review" {
		t.Errorf("%+v", v)
	}
	o.ok(o.decides(o.hands(p), "S-ann", review.Accept, read))
	o.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
	if events := o.events(); !strings.Contains(events, "share picture") {
		t.Error(events)
	}
}
