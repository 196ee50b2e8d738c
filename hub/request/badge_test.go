package request_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// photo is a picture with enough light and lines in it, darkened by a factor.
func photo(t *testing.T, side, dark int) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			m.SetGray(x, y, color.Gray{uint8((120 + 100*((x/12+y/12)%2)) / dark)})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// program is an operator's program that looks at photos, and its people.
type program struct {
	request.Judgement
	err    error
	selfie []byte               // that it was shown
	asked  []request.AskedPhoto // what people were asked
	until  time.Time            // they have time
}

// JudgeBadge implements request.Faces.
func (p *program) JudgeBadge(_ context.Context, _ string, _, selfie []byte) (request.Judgement, error) {
	p.selfie = selfie
	return p.Judgement, p.err
}

// AskPeople implements request.Faces.
func (p *program) AskPeople(_ context.Context, _ *store.Tx, a request.AskedPhoto) (time.Time, error) {
	p.asked = append(p.asked, a)
	return p.until, nil
}

// admitted is somebody who came by a link to the badge page and shared their name.
func (d *desk) admitted(o request.BadgeOrder) person {
	d.Helper()
	o.Env, o.Origin, o.Language = d.fixture.Env.ID, origin, "en"
	id, session, err := d.BeginBadge(d.Context(), o)
	if err != nil {
		d.Fatal(err)
	}
	return person{d, o.Env, id, session}
}

func (p person) gives(sent []byte) ([]request.Fault, string, error) {
	return p.SetBadge(p.Context(), p.fixture.Env.ID, p.id, p.session, sent, request.Client{Address: "192.0.2.7"})
}

func (d *desk) linked(p request.GivenPicture) ([]byte, error) {
	return store.Get(d.Context(), d.store, func(tx *store.Tx) ([]byte, error) { return tx.LinkedPicture(d.Context(), p.Link) })
}

func TestAPersonWhoProvedWhoTheyAreGivesAPhotoForTheirBadge(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		look := &program{}
		d.Faces = look
		env := d.fixture.Env.ID
		p := d.admitted(request.BadgeOrder{Label: "ada@example.com"})
		if _, err := d.Badge(t.Context(), env, p.id, p.session); !errors.Is(err, request.ErrStep) {
			t.Errorf("before anything was proven: %v", err)
		}
		if _, _, err := p.gives(photo(t, 400, 1)); !errors.Is(err, request.ErrStep) {
			t.Errorf("a photo before anything was proven: %v", err)
		}
		p.shares()
		if !p.view().Badge {
			t.Error("the person is not asked for a photo")
		}
		if _, err := d.Badge(t.Context(), env, p.id, "another session"); !errors.Is(err, request.ErrNotFound) {
			t.Errorf("another browser: %v", err)
		}
		for _, c := range []struct {
			name   string
			sent   []byte
			look   program
			faults []request.Fault
			told   bool // to webhooks: it is a picture
		}{
			{"no picture", []byte("GIF89a"), program{}, []request.Fault{request.NoPicture}, false},
			{"large", make([]byte, 8<<20), program{}, []request.Fault{request.LargePicture}, false},
			{"small", photo(t, 200, 1), program{}, []request.Fault{"small"}, true},
			{"dark", photo(t, 400, 6), program{}, []request.Fault{"dark"}, true},
			{"two", photo(t, 400, 1), program{Judgement: request.Judgement{Faults: []request.Fault{request.ManyFaces}}}, []request.Fault{request.ManyFaces}, true},
			{"black wall", photo(t, 400, 1), program{Judgement: request.Judgement{Faults: []request.Fault{request.Unsuitable}, Reason: "Background is plain black."}}, []request.Fault{request.Unsuitable}, true},
		} {
			*look = c.look
			before := len(d.pictures)
			faults, reason, err := p.gives(c.sent)
			if err != nil || !slices.Equal(faults, c.faults) || reason != c.look.Reason {
				t.Errorf("%s: %v %q %v", c.name, faults, reason, err)
			}
			if got := len(d.pictures) > before; got != c.told {
				t.Errorf("%s: webhooks hear of it: %v", c.name, got)
			}
			if b, err := d.Badge(t.Context(), env, p.id, p.session); err != nil || !b.Since.IsZero() {
				t.Errorf("%s was kept: %+v, %v", c.name, b, err)
			}
		}
		if last := d.pictures[len(d.pictures)-1]; last.Error != "Background is plain black." || last.Name != "Jürgen Müller" || last.Request == "" {
			t.Errorf("told %+v", last)
		}
		*look = program{err: errors.New("away")}
		told := len(d.told)
		if _, _, err := p.gives(photo(t, 400, 1)); !errors.Is(err, request.ErrFaces) || len(d.told) > told {
			t.Errorf("nobody looks: %v, told %v", err, d.told[told:])
		}
		*look = program{}
		if faults, _, err := p.gives(photo(t, 400, 1)); err != nil || len(faults) > 0 {
			t.Fatal(faults, err)
		}
		if want := []string{"profile_picture_accepted shared", "vault_profile_picture_added shared", "share name,picture"}; !slices.Equal(d.told[told:], want) {
			t.Errorf("told %q, want %q", d.told[told:], want)
		}
		given := d.pictures[len(d.pictures)-1]
		body, err := d.linked(given)
		sum := sha256.Sum256(body)
		if err != nil || given.Error != "" || given.SHA256 != base64.StdEncoding.EncodeToString(sum[:]) || !strings.HasPrefix(given.Subject, given.Person+"@") {
			t.Errorf("given %+v, %v", given, err)
		}
		if _, err := jpeg.Decode(bytes.NewReader(body)); err != nil || bytes.Equal(body, photo(t, 400, 1)) {
			t.Errorf("the photo was not written anew: %v", err)
		}
		rows := d.recorded(audit.PeopleSetPicture)
		if len(rows) != 5 || !strings.Contains(rows[0], `"image_hash"`) {
			t.Errorf("%d records: %v", len(rows), rows)
		}
	})
}

func TestABadgePhotoGoesWithItsPerson(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		ahead := time.Duration(0)
		c.Now = func() time.Time { return time.Now().Add(ahead) }
		s := storetest.Open(t, c)
		d := newDesk(t, s)
		env := d.fixture.Env.ID
		give := func() (person, request.GivenPicture) {
			t.Helper()
			p := d.admitted(request.BadgeOrder{})
			p.shares()
			if faults, _, err := p.gives(photo(t, 400, 1)); err != nil || len(faults) > 0 {
				t.Fatal(faults, err)
			}
			return p, d.pictures[len(d.pictures)-1]
		}
		kept := func(person string) bool {
			t.Helper()
			_, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]byte, error) {
				b, _, err := tx.Picture(t.Context(), env, person, store.PictureChosen)
				return b, err
			})
			return err == nil
		}
		p, g := give()
		ahead = 16 * time.Minute
		if _, err := d.linked(g); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the link after a quarter of an hour: %v", err)
		}
		d.ok(d.Sweep(t.Context()))
		if left, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]string, error) {
			return store.All(t.Context(), tx, store.Text, "SELECT hash FROM picture_links")
		}); err != nil || len(left) > 0 {
			t.Errorf("links that ended are kept: %v %v", left, err)
		}
		ahead = 0
		if !kept(g.Person) {
			t.Error("the photo went with its link")
		}
		d.ok(d.TakeBack(t.Context(), env, p.id, p.session, request.Client{}))
		if kept(g.Person) {
			t.Error("what was taken back is kept")
		}
		_, g = give()
		d.tx(func(tx *store.Tx) error { return d.Erase(t.Context(), tx, env, g.Person) })
		if _, err := d.linked(g); kept(g.Person) || !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after erasing: %v", err)
		}
	})
}

func TestP07_AOneShotLinkBeginsOneBadge(t *testing.T) {
	s := storetest.Open(t, storetest.SQLite(t))
	d := newDesk(t, s)
	o := request.BadgeOrder{Link: "jti", LinkEnds: time.Now().Add(time.Hour)}
	d.admitted(o)
	o.Env, o.Origin = d.fixture.Env.ID, origin
	if _, _, err := d.BeginBadge(t.Context(), o); !errors.Is(err, request.ErrGone) {
		t.Errorf("a second time: %v", err)
	}
}
