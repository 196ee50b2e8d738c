package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// settled remembers what the flow was told.
type settled struct{ right []bool }

func (s *settled) Settle(_ context.Context, _, _, _ string, v verify.Verdict) error {
	s.right = append(s.right, v.Right)
	return nil
}

// handedIn makes a case that waits for people, and returns the address of its page.
func (g *rig) handedIn() (page, id string, told *settled) { g.t.Helper(); return g.handedInBy("p") }

func (g *rig) handedInBy(person string) (page, id string, told *settled) {
	g.t.Helper()
	ctx, told := g.t.Context(), &settled{}
	g.reviews.Flow = told
	s := verify.Subject{Env: g.Env.ID, Directory: g.Directory.ID, Verification: store.NewID(), Account: "1", Person: person, Name: "Anna <Weber>", Action: "password"}
	c, err := g.reviews.Open(ctx, s)
	if err != nil {
		g.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 320, 200)), nil); err != nil {
		g.t.Fatal(err)
	}
	given := review.Given{Consent: true, Images: map[string][]byte{"front": b.Bytes(), "selfie": b.Bytes()},
		Zone: "I<UTOL01X00T471<<<<<<<<<<<<<<<8503091F3308084UTO<<<<<<<<<<<2WEBER<<ANNA<MARIA<<<<<<<<<<<<<"}
	if err := g.reviews.Keep(ctx, g.Env.ID, c.Case, given); err != nil {
		g.t.Fatal(err)
	}
	if v, err := g.reviews.Check(ctx, s, c.Case, review.Submitted); err != nil || !v.Pending {
		g.t.Fatalf("%+v, %v", v, err)
	}
	return reviewsPath + "/" + g.Env.ID + "/" + c.Case, c.Case, told
}

func (g *rig) reviewer() *admin {
	g.t.Helper()
	a, link := g.admin(), g.newLink()
	a.get(link).send(link, nil)
	return a
}

// A storage that is away is no fault of the hub: the reviewer is told so, and when to come
// back.
func TestAPictureInAStorageThatIsAwayIsAskedForLater(t *testing.T) {
	g := newRig(t)
	page, _, _ := g.handedIn()
	ann := g.reviewer()
	ann.get(reviewsPath).send(reviewsPath+"/take", nil)
	g.reviews.Shelf = storetest.Moved(t, g.store, g.Env.ID)
	if ann.get(page + "/front").sees(200); ann.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("%v", ann.header)
	}
	g.reviews.Shelf = storetest.Shelf(nil)
	if ann.get(page+"/front").sees(503, "We cannot go on at the moment"); ann.header.Get("Retry-After") == "" {
		t.Errorf("nobody says when to come back: %v", ann.header)
	}
	ann.get(page).sees(200, "ANNA MARIA WEBER")
}

func TestReviewersDecideAboutCasesThatTheyAreGiven(t *testing.T) {
	g := newRig(t)
	page, id, told := g.handedIn()
	ann, ben := g.reviewer(), g.reviewer()
	if ann.get(page); ann.status != http.StatusConflict {
		t.Errorf("a case that nobody was given: %d", ann.status)
	}
	if ann.get(reviewsPath); !strings.Contains(ann.body, "1 case waits") || strings.Contains(ann.body, "Weber") {
		t.Errorf("the list: %s", ann.body)
	}
	ann.send(reviewsPath+"/take", nil)
	if ann.get(page); ann.status != http.StatusOK || !strings.Contains(ann.body, "Anna &lt;Weber&gt;") || !strings.Contains(ann.body, "ANNA MARIA WEBER") {
		t.Errorf("the case: %d %s", ann.status, ann.body)
	}
	if ann.get(page + "/selfie"); ann.status != http.StatusOK || ann.header.Get("Content-Type") != "image/jpeg" || ann.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the picture: %d %v", ann.status, ann.header)
	}
	for _, path := range []string{page, page + "/selfie"} {
		if ben.get(path); ben.status != http.StatusConflict {
			t.Errorf("another reviewer sees %s: %d", path, ben.status)
		}
	}
	ann.get(page).send(page+"/decide", url.Values{"verdict": {"accept"}, "check": {"name"}})
	if ann.status != http.StatusUnprocessableEntity || len(told.right) != 0 {
		t.Errorf("accepted with one tick: %d", ann.status)
	}
	ann.get(page).send(page+"/decide", url.Values{"verdict": {"fraud"}, "reason": {"another face"}})
	if err := g.reviews.Appeal(t.Context(), g.Env.ID, id); err != nil {
		t.Fatal(err)
	}
	if ann.get(reviewsPath); !strings.Contains(ann.body, "You have decided about it before") {
		t.Errorf("the appeal in the first reviewer's list: %s", ann.body)
	}
	ben.get(reviewsPath).send(reviewsPath+"/take", nil)
	ben.get(page).send(page+"/decide", url.Values{"verdict": {"accept"}, "check": review.Checklist})
	if len(told.right) != 1 || !told.right[0] {
		t.Errorf("told %v", told.right)
	}
}

// A reviewer who is about to press a button presses that one, however late pictures come.
func TestAPicturesPlaceIsKeptWhileItLoads(t *testing.T) {
	g := newRig(t)
	g.handedIn()
	b := testenv.Chromium(t)
	b.Open(g.url + g.newLink())
	b.Click("main button")
	b.WaitText("Is recovery working?")
	b.Open(g.url + reviewsPath)
	b.Click("main form button") // leads to the case
	loaded := `document.querySelectorAll("figure img").length === 2 && [...document.querySelectorAll("figure img")].every(i => i.complete && i.naturalWidth === 320)`
	b.Wait(loaded)
	for _, width := range []int64{390, 1280} {
		b.Viewport(width, 844)
		place := `String(document.querySelector("button[value=accept]").getBoundingClientRect().top + scrollY)`
		with := b.Eval(place)
		b.Eval(`String(document.querySelectorAll("figure img").forEach(i => { i.dataset.was = i.src; i.removeAttribute("src") }))`)
		if without := b.Eval(place); without != with {
			t.Errorf("on %d pixels the button moves from %s to %s when the pictures come", width, without, with)
		}
		b.Eval(`String(document.querySelectorAll("figure img").forEach(i => { i.src = i.dataset.was }))`)
		b.Wait(loaded)
		for _, v := range b.Axe() {
			t.Error(v)
		}
		if dir := os.Getenv("SCREENSHOTS"); dir != "" {
			b.Screenshot(fmt.Sprintf("%s/review-%d.png", dir, width))
		}
	}
}

// A reviewer who compares the face of somebody who answers a request with the photo of an
// account reads that leaving the box open is an answer.
func TestAReviewerOfARequestReadsWhatTheBoxOfThePhotoMeans(t *testing.T) {
	g := newRig(t)
	g.Accounts(t, g.store, protocol.Account{ID: "9", Name: "Anna Weber", Identifiers: []string{"anna@acme.example"}})
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 320, 200)), nil); err != nil {
		t.Fatal(err)
	}
	var meant store.Account
	g.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		if meant, err = tx.AccountOf(ctx, g.Env.ID, g.Directory.ID, "9"); err != nil {
			return err
		}
		return errors.Join(tx.SetAccountPhoto(ctx, g.Env.ID, meant.ID, "00", b.Bytes()), review.WriteSettings(ctx, tx, g.Env.ID, review.Settings{Requests: true}))
	})
	s := verify.Subject{Env: g.Env.ID, Verification: store.NewID(), Operation: string(protocol.Verify), Meant: meant.ID, Until: time.Now().Add(time.Hour)}
	c, err := g.reviews.Open(t.Context(), s)
	if err == nil {
		err = g.reviews.Keep(t.Context(), g.Env.ID, c.Case, review.Given{Consent: true, Images: map[string][]byte{"front": b.Bytes(), "selfie": b.Bytes()}})
	}
	if err == nil {
		_, err = g.reviews.Check(t.Context(), s, c.Case, review.Submitted)
	}
	if err != nil {
		t.Fatal(err)
	}
	page := testenv.Chromium(t)
	page.Open(g.url + g.newLink())
	page.Click("main button")
	page.WaitText("Is recovery working?")
	page.Open(g.url + reviewsPath)
	page.Click("main form button")
	page.WaitText("Leave this open if you are not sure")
	looked(t, page, "review-photo")
}

func TestT25_CasesOfAnotherOrganisationAreNotThere(t *testing.T) {
	g := newRig(t)
	page, _, _ := g.handedIn()
	other := store.Organisation{Name: "Other"}
	g.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		other, err = tx.CreateOrganisation(ctx, other)
		return err
	})
	secret := store.NewToken()
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateConsoleLink(ctx, other.ID, store.HashToken(secret))
	})
	a := g.admin()
	a.get(LinkPath+secret).send(LinkPath+secret, nil)
	for _, path := range []string{page, page + "/selfie"} {
		if a.get(path); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a.get(reviewsPath); strings.Contains(a.body, "case waits") {
		t.Errorf("the list: %s", a.body)
	}
}

func TestReviewersSeeThePhotoOfTheAccountBesideTheFace(t *testing.T) {
	g := newRig(t)
	var face bytes.Buffer
	if err := jpeg.Encode(&face, image.NewGray(image.Rect(0, 0, 320, 400)), nil); err != nil {
		t.Fatal(err)
	}
	person := ""
	g.Accounts(t, g.store, protocol.Account{ID: "photographed", Name: "Anna Weber"})
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.AccountOf(ctx, g.Env.ID, g.Directory.ID, "photographed")
		person = a.ID
		if err != nil {
			return err
		}
		return tx.SetAccountPhoto(ctx, g.Env.ID, a.ID, "sum", face.Bytes())
	})
	page, _, told := g.handedInBy(person)
	ann := g.reviewer()
	ann.get(page + "/account")
	if ann.status != http.StatusConflict {
		t.Errorf("the photo of a case that nobody was given: %d", ann.status)
	}
	ann.get(reviewsPath).send(reviewsPath+"/take", nil)
	ann.get(page + "/account")
	if ann.status != http.StatusOK || ann.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("the photo: %d %v", ann.status, ann.header)
	}
	ann.get(page).send(page+"/decide", url.Values{"verdict": {"accept"}, "check": review.Checklist})
	if ann.status != http.StatusUnprocessableEntity || len(told.right) != 0 || !strings.Contains(ann.body, "The face is that of the account’s photo") {
		t.Errorf("accepted without the photo: %d", ann.status)
	}
	ann.get(page).send(page+"/decide", url.Values{"verdict": {"accept"}, "check": append(slices.Clone(review.Checklist), review.AccountPhoto)})
	if len(told.right) != 1 || !told.right[0] {
		t.Errorf("told %v", told.right)
	}
	g.handedInBy(person)
	b := testenv.Chromium(t)
	b.Open(g.url + g.newLink())
	b.Click("main form button")
	b.WaitText("Is recovery working?")
	b.Open(g.url + reviewsPath)
	b.Click("main form button")
	b.WaitText("Photo of the account")
	b.Wait(`[...document.images].every(i => i.complete && i.naturalWidth > 0)`)
	looked(t, b, "review-photo")
}

// badges takes what became of photos.
type badges struct{ told []string }

// BadgeDecided implements review.Badges.
func (b *badges) BadgeDecided(_ context.Context, _ *store.Tx, _, _, _, refused string) (bool, error) {
	b.told = append(b.told, refused)
	return true, nil
}

// photographed makes a photo for a badge wait for people.
func (g *rig) photographed(person string) {
	g.t.Helper()
	var face bytes.Buffer
	if err := jpeg.Encode(&face, image.NewGray(image.Rect(0, 0, 480, 640)), nil); err != nil {
		g.t.Fatal(err)
	}
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		err := errors.Join(tx.AddPerson(ctx, g.Env.ID, person), tx.PutPicture(ctx, g.Env.ID, person, store.PictureAsked, face.Bytes()), tx.PutPicture(ctx, g.Env.ID, person, store.PictureSelfie, face.Bytes()))
		if err == nil {
			_, err = g.reviews.AskBadge(ctx, tx, review.BadgeOrder{Env: g.Env.ID, Use: "use", Person: person, Name: "Anna Weber",
				Checks: []review.Finding{{Name: review.EmployeeBadge, Result: "unsure", Reason: "a <shadow>"}}})
		}
		return err
	})
}

func TestReviewersDecideAboutPhotosForBadgesByTheRules(t *testing.T) {
	g := newRig(t)
	told := &badges{}
	g.reviews.Badges = told
	g.photographed("p")
	b := testenv.Chromium(t)
	b.Open(g.url + g.newLink())
	b.Click("main form button")
	b.WaitText("Is recovery working?")
	b.Open(g.url + reviewsPath)
	b.WaitText("Photo for a badge")
	looked(t, b, "badge-list")
	b.Click("main form button")
	b.WaitText("A plain, light background")
	b.WaitText("a <shadow>")
	b.Wait(`[...document.querySelectorAll('figure img')].filter(i => i.complete && i.naturalWidth === 480).length === 2`)
	looked(t, b, "badge-case")
	if strings.Contains(b.Text(), "Anna Weber") {
		t.Error("the reviewer reads whose photo it is")
	}
	b.Click("button[value=refuse]")
	b.WaitText("refusing needs one of the reasons")
	b.Eval(`(document.querySelectorAll('[name=check]').forEach(c => c.value !== 'badge_face' && c.click()), 'done')`)
	b.Click("button[value=accept]")
	b.WaitText("Accepting needs every tick")
	looked(t, b, "badge-wrong")
	b.Click("[name=reason][value=background]")
	b.Click("button[value=refuse]")
	b.WaitText("Nothing waits for you")
	g.photographed("p")
	b.Open(g.url + reviewsPath)
	b.Click("main form button")
	b.WaitText("A plain, light background")
	b.Eval(`(document.querySelectorAll('[name=check]').forEach(c => c.click()), 'done')`)
	b.Click("button[value=accept]")
	b.WaitText("Nothing waits for you")
	if !slices.Equal(told.told, []string{"background", ""}) {
		t.Errorf("told %q", told.told)
	}
}
