package api

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/storage"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/protocol"
)

// aSelfie is a picture of the least size that is compared.
func aSelfie() string { return jpegOf(100, 120) }

func jpegOf(w, h int) string {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, w, h)), nil); err != nil {
		panic(err)
	}
	return b.String()
}

// sure is a program to which everything is right.
func sure(checks []string, _ map[string][]byte) (all []review.Finding) {
	for _, name := range checks {
		all = append(all, review.Finding{Name: name, Result: capture.Pass, Score: 0.93})
	}
	return all
}

// failing is a program that finds a fault in one check, and none in others.
func failing(check, reason string, score float64) program {
	return func(checks []string, images map[string][]byte) []review.Finding {
		all := sure(checks, images)
		for i := range all {
			if all[i].Name == check {
				all[i].Result, all[i].Reason, all[i].Score = capture.Fail, reason, score
			}
		}
		return all
	}
}

func TestASelfieIsComparedByTheAnalyzerWithTheOneThatWasVerified(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		path := "/people/" + st.mine.subject + "/compare/selfie"
		if got := st.want(t, 400, "POST", path, aSelfie()); !strings.Contains(got.body, "nobody has compared a selfie") {
			t.Error(got.body)
		}
		st.shareSelfie(t, st.mine)
		if got := st.want(t, 400, "POST", path, aSelfie()); !strings.Contains(got.body, "no analyzer is set up") {
			t.Error(got.body)
		}
		shown := ""
		for _, c := range []struct {
			program program
			query   string
			want    string
		}{
			{sure, "", `{"match":true,"confidence":0.93}`},
			{failing(review.FaceSelfie, "", 0.12), "", `{"match":false,"confidence":0.12,"not_matched":true}`},
			{failing(review.OneFace, review.NoFace, 0), "", `{"match":false,"confidence":0,"no_face":true}`},
			{failing(review.OneFace, review.ManyFaces, 0), "", `{"match":false,"confidence":0,"multiple_faces":true}`},
			{sure, "?extra_validation=employee_badge", `{"match":true,"confidence":0.93,"employee_badge":{"valid":true}}`},
			{failing(review.EmployeeBadge, "sunglasses", 0), "?extra_validation=employee_badge", `{"match":true,"confidence":0.93,"employee_badge":{"valid":false,"reason":"sunglasses"}}`},
			{func([]string, map[string][]byte) []review.Finding { return []review.Finding{} }, "", `{"match":false,"confidence":0}`},
		} {
			st.analyzer(t, st.mine, func(checks []string, images map[string][]byte) []review.Finding {
				shown = string(images[review.Selfie])
				return c.program(checks, images)
			})
			if got := st.want(t, 200, "POST", path+c.query, aSelfie()); got.body != c.want || shown != "a selfie" {
				t.Errorf("%s; want %s; compared with %q", got.body, c.want, shown)
			}
		}
		st.analyzer(t, st.mine, func([]string, map[string][]byte) []review.Finding { return nil })
		st.want(t, 503, "POST", path, aSelfie())
		for what, body := range map[string]string{"small": jpegOf(99, 200), "none": "x", "a PNG": aFace(), "wide": jpegOf(10_001, 100)} {
			if got := st.want(t, 400, "POST", path, body); !strings.Contains(got.body, "100×100") {
				t.Errorf("%s: %s", what, got.body)
			}
		}
		st.want(t, 400, "POST", path+"?extra_validation=hat", aSelfie())
		if leaves := string(st.leaves(t)); strings.Count(leaves, `"kind":"selfie_compare"`) != 7 {
			t.Error(leaves)
		}
		st.want(t, 204, "DELETE", "/people/"+st.mine.subject+"/properties/picture", "")
		st.want(t, 400, "POST", path, aSelfie())
	})
}

func TestAPictureIsChosenForAPersonIfItIsTheirs(t *testing.T) {
	st := lite(t)
	path := "/people/" + st.mine.subject + "/picture"
	refuse := func(word string, body string) {
		t.Helper()
		if got := st.want(t, 400, "POST", path, body); got.body != `{"ok":false,"error":"`+word+`"}` {
			t.Errorf("%s; want %s", got.body, word)
		}
	}
	st.want(t, 404, "GET", path, "")
	refuse("no_reference", aFace())
	st.shareSelfie(t, st.mine)
	if got := st.want(t, 200, "GET", path, ""); got.body != "a selfie" || got.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("%q %v", got.body, got.header)
	}
	refuse("no_reference", aFace()) // nothing compares
	for word, p := range map[string]program{"no_face": failing(review.OneFace, review.NoFace, 0), "too_many_faces": failing(review.OneFace, review.ManyFaces, 0), "not_matched": failing(review.FaceSelfie, "", 0)} {
		st.analyzer(t, st.mine, p)
		refuse(word, aFace())
	}
	st.analyzer(t, st.mine, sure)
	refuse("invalid_format", "x")
	refuse("too_large", aFace()+strings.Repeat("x", capture.MaxImage))
	got := st.want(t, 200, "POST", path, aFace())
	if got.body != `{"ok":true,"url":"https://id.vendor.test`+path+`"}` {
		t.Error(got.body)
	}
	if got := st.want(t, 200, "GET", path, ""); !strings.HasPrefix(got.body, "\xff\xd8\xff") {
		t.Errorf("%.10q", got.body)
	}
	if got := st.do(t, st.other.key, "GET", path, ""); got.status != 404 {
		t.Errorf("another environment's key: %d", got.status)
	}
	st.want(t, 204, "DELETE", "/people/"+st.mine.subject, "")
	st.want(t, 404, "GET", path, "")
}

// container is a container of Azure Blob Storage as far as the hub needs one: objects under
// names. The hub is tried against servers of others in internal/interop.
type container struct {
	sync.Mutex
	objects map[string][]byte
	away    bool
}

func (c *container) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.Lock()
	defer c.Unlock()
	switch body, there := c.objects[r.URL.Path]; {
	case c.away:
		w.WriteHeader(http.StatusInternalServerError)
	case r.Method == http.MethodPut:
		c.objects[r.URL.Path], _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
	case there:
		_, _ = w.Write(body)
	default:
		w.Header().Set("x-ms-error-code", "BlobNotFound")
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestAPictureThatLiesInTheOrganisationsStorageIsServedAndComparedLikeAnyOther(t *testing.T) {
	st := lite(t)
	held := &container{objects: map[string][]byte{}}
	server := httptest.NewServer(held)
	t.Cleanup(server.Close)
	st.shareSelfie(t, st.mine)
	st.want(t, 204, "PUT", "/api/accounts/"+st.mine.account.ID+"/photo", aFace())
	env := "/api/envs/" + st.mine.Env.ID
	st.want(t, 204, "PATCH", env, `{"storage":{"azure_blob_eu":"`+server.URL+`/faces?sig=x"}}`)
	if got := st.want(t, 200, "GET", env+"/storage", ""); !strings.Contains(got.body, `"waiting":2`) {
		t.Error(got.body)
	}
	if err := storage.New(storage.Config{Store: st.store, Transport: http.DefaultTransport, Log: slog.New(slog.DiscardHandler)}).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := st.want(t, 200, "GET", env+"/storage", ""); !strings.Contains(got.body, `"waiting":0`) || len(held.objects) != 2 {
		t.Errorf("%s %d objects", got.body, len(held.objects))
	}
	path := "/people/" + st.mine.subject
	if got := st.want(t, 200, "GET", path+"/picture", ""); got.body != "a selfie" || got.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("%q %v", got.body, got.header)
	}
	shown := ""
	st.analyzer(t, st.mine, func(checks []string, images map[string][]byte) []review.Finding {
		shown = string(images[review.Selfie])
		return sure(checks, images)
	})
	if st.want(t, 200, "POST", path+"/compare/selfie", aSelfie()); shown != "a selfie" {
		t.Errorf("compared with %q", shown)
	}
	st.want(t, 204, "PATCH", "/api/accounts/mine-1", `{"subject":"`+st.mine.subject+`"}`)
	st.mine.Accounts(t, st.store, protocol.Account{ID: "mine-1", Identifiers: []string{"alice@mine.test"}}, protocol.Account{ID: "unbound", Identifiers: []string{"unbound"}})
	held.Lock()
	held.away = true
	held.Unlock()
	files := st.bulk(t, "PUT", archiveOf("mine-1.png", aFace(), "unbound.png", aFace()))
	if len(files) != 2 || files[0].Status != 503 || !strings.Contains(files[0].Error, "storage") || files[1].Status != 200 {
		t.Errorf("of many photos: %+v", files)
	}
	for _, got := range []reply{
		st.want(t, 503, "GET", path+"/picture", ""), st.want(t, 503, "POST", path+"/compare/selfie", aSelfie()),
		st.want(t, 503, "POST", path+"/picture", aSelfie()), st.want(t, 503, "PUT", "/api/accounts/mine-1/photo", aFace()),
	} {
		if !strings.Contains(got.body, "storage") || strings.Contains(got.body, "sig=") || got.header.Get("Retry-After") == "" {
			t.Errorf("%s %v", got.body, got.header)
		}
	}
	st.want(t, 204, "DELETE", path, "")
	st.want(t, 404, "GET", path+"/picture", "")
}

// toldOf notes what webhooks are told of requests.
type toldOf struct{ events []string }

// RequestChanged implements request.Hooks.
func (h *toldOf) RequestChanged(_ context.Context, _ *store.Tx, _, event string, r request.Document) error {
	h.events = append(h.events, event+" "+r.ID+" "+r.Subject)
	return nil
}

// SharingChanged implements request.Hooks.
func (*toldOf) SharingChanged(context.Context, *store.Tx, string, request.Sharing) error { return nil }

// PictureGiven implements request.Hooks.
func (*toldOf) PictureGiven(context.Context, *store.Tx, string, request.GivenPicture) error {
	return nil
}

func TestAPreferredNameIsKeptAsWhatAPersonShares(t *testing.T) {
	st := lite(t)
	path := "/people/" + st.mine.subject
	st.tx(t, func(ctx context.Context, tx *store.Tx) error { // who shared in it answered it
		r, err := tx.Request(ctx, st.mine.Env.ID, st.mine.request)
		if err != nil {
			return err
		}
		_, r.Person, _ = request.ParseSubject(st.mine.subject)
		r.State = request.Shared
		return tx.SaveRequest(ctx, &r)
	})
	hooks := &toldOf{}
	st.api.Requests.Hooks = hooks
	st.want(t, 204, "POST", path+"/preferred-name", `{"preferred_name":"Ali"}`)
	if want := []string{"vault_preferred_name_set " + st.mine.request + " " + st.mine.subject}; !slices.Equal(hooks.events, want) {
		t.Errorf("webhooks are told %q, want %q", hooks.events, want)
	}
	if got := st.want(t, 200, "GET", path+"/properties/preferred_name", ""); !strings.Contains(got.body, `"value":"Ali","status":200`) {
		t.Error(got.body)
	}
	for _, body := range []string{`{}`, `{"preferred_name":" "}`, `{"preferred_name":"a\nb"}`, `{"name":"Ali"}`} {
		st.want(t, 400, "POST", path+"/preferred-name", body)
	}
	if leaves := string(st.leaves(t)); strings.Contains(leaves, "Ali\"") || !strings.Contains(leaves, "people_set_preferred_name") {
		t.Error(leaves)
	}
	st.want(t, 204, "DELETE", path, "")
	st.want(t, 404, "POST", path+"/preferred-name", `{"preferred_name":"Ali"}`)
}
