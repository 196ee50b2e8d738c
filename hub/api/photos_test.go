package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
)

// aFace is a small picture.
func aFace() string {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 64, 48))); err != nil {
		panic(err)
	}
	return b.String()
}

// P21: what is kept was written anew, whatever was sent.
func TestP21_APhotoIsWrittenAnewAndTheAccountNamesItsHash(t *testing.T) {
	st := lite(t)
	sent := aFace() + "a second file GPS 48.2082 N"
	sum := sha256.Sum256([]byte(sent))
	for _, name := range []string{st.mine.account.ID, "mine-1", "alice%40mine.test"} {
		path := "/api/accounts/" + name
		st.want(t, 204, "PUT", path+"/photo", sent)
		got := st.want(t, 200, "GET", path, "")
		var a struct {
			Photo *struct {
				SHA256  string `json:"sha256"`
				Created string `json:"created_at"`
			}
		}
		if err := json.Unmarshal([]byte(got.body), &a); err != nil || a.Photo == nil || a.Photo.SHA256 != hex.EncodeToString(sum[:]) || !strings.HasSuffix(a.Photo.Created, "Z") {
			t.Fatalf("%s: %v %s", name, err, got.body)
		}
		st.tx(t, func(ctx context.Context, tx *store.Tx) error {
			kept, err := tx.AccountPhoto(ctx, st.mine.Env.ID, st.mine.account.ID)
			if err == nil && (!bytes.HasPrefix(kept, []byte("\xff\xd8\xff")) || bytes.Contains(kept, []byte("GPS"))) {
				t.Errorf("%s: kept is %.20q", name, kept)
			}
			return err
		})
		st.want(t, 204, "DELETE", path+"/photo", "")
		if got := st.want(t, 200, "GET", path, ""); strings.Contains(got.body, `"photo"`) {
			t.Errorf("%s: removed: %s", name, got.body)
		}
		st.want(t, 404, "DELETE", path+"/photo", "")
	}
	for what, body := range map[string]string{
		"nothing": "", "a drawing": `<svg xmlns="http://www.w3.org/2000/svg"/>`, "half a picture": aFace()[:40], "too much": aFace() + strings.Repeat("x", capture.MaxImage),
	} {
		if got := st.do(t, st.owner, "PUT", "/api/accounts/mine-1/photo", body); got.status != 400 && (got.status != 413 || len(body) <= capture.MaxImage) {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	user := st.addKey(t, store.APIKey{Org: st.mine.Org.ID, Role: RoleUser, Envs: []string{"*"}})
	if got := st.do(t, user, "PUT", "/api/accounts/mine-1/photo", aFace()); got.status != 403 {
		t.Errorf("a user's key: %d", got.status)
	}
	if got := st.do(t, st.mine.key, "PUT", "/api/accounts/"+st.other.account.ID+"/photo", aFace()); got.status != 404 {
		t.Errorf("a key for another environment: %d", got.status)
	}
	st.leftNoPicture(t)
}

// leftNoPicture wants records of photos that name hashes and no identifiers.
func (st *stack) leftNoPicture(t *testing.T) {
	t.Helper()
	rows, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]string, error) {
		return store.All(t.Context(), tx, store.Text, "SELECT leaf FROM audit_events WHERE org = $1", st.mine.Org.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	set, removed := 0, 0
	for _, r := range rows {
		set, removed = set+strings.Count(r, `"photo":"set"`), removed+strings.Count(r, `"photo":"removed"`)
		if strings.Contains(r, "alice@mine.test") || len(r) > 4000 {
			t.Errorf("a record: %.300s", r)
		}
	}
	if set != 3 || removed != 3 {
		t.Errorf("%d set and %d removed are recorded", set, removed)
	}
}

func TestThePolicyPhotoIsTaken(t *testing.T) {
	st := lite(t)
	st.want(t, 204, "PATCH", "/api/directories/"+st.mine.Directory.ID, `{"unlock_policy":{"groups":[{"group":{"name":"g"},"policy":"photo"}],"default":"photo"}}`)
}
