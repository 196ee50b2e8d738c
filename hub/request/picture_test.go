package request_test

import (
	"bytes"
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
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session))
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
	if _, err := selfie(); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("taken back: %v", err)
	}
}

func TestOnlyWhoComparesFacesGivesAPicture(t *testing.T) {
	o := newOffice(t, true)
	p := o.opens(o.create(request.Order{Claims: []string{"picture"}, MaxUses: 1}))
	o.ok(p.Agree(t.Context(), p.env, p.id, p.session))
	if v := p.view(); v.Step != request.StepProve || string(v.Method) != "document_review" {
		t.Errorf("%+v", v)
	}
	o.ok(o.decides(o.hands(p), "S-ann", review.Accept, read))
	o.ok(p.Share(t.Context(), p.env, p.id, p.session, request.Client{}))
	if events := o.events(); !strings.Contains(events, "share picture") {
		t.Error(events)
	}
}
