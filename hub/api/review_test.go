package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestHowDocumentsAreReviewedIsSetAndItsSecretNeverShown(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	path := "/api/envs/" + st.mine.Env.ID + "/review"
	const secret = "canary-secret-of-thirty-two-characters"
	if got := st.do(t, st.owner, "POST", path, `{"second_reviewer_groups":["Finance"],"analyzer":{"url":"https://analyzer.example.com/","secret":"`+secret+`"}}`); got.status != http.StatusNoContent {
		t.Fatalf("%d %s", got.status, got.body)
	}
	got := st.do(t, st.owner, "GET", path, "")
	if got.status != http.StatusOK || !strings.Contains(got.body, "Finance") || !strings.Contains(got.body, "analyzer.example.com") || strings.Contains(got.body, secret) {
		t.Errorf("%d %s", got.status, got.body)
	}
	rows, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]store.AuditRow, error) {
		return tx.AuditRows(t.Context(), st.mine.Org.ID, store.AuditFilter{Envs: []string{st.mine.Env.ID}, Count: 10})
	})
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, r := range rows {
		if strings.Contains(r.Leaf, secret) {
			t.Error("the audit log holds the secret")
		}
	}
	for _, body := range []string{`{"analyzer":{"url":"http://analyzer.example.com","secret":"` + secret + `"}}`, `{"analyzer":{"url":"https://a.example","secret":"short"}}`, `{"second_reviewer_groups":[""]}`} {
		if got := st.do(t, st.owner, "POST", path, body); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", body, got.status)
		}
	}
}

func TestAListOfCommonNamesIsImportedStrictly(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	path := "/api/envs/" + st.mine.Env.ID + "/common-names"
	if got := st.do(t, st.owner, "POST", path, `{"list":"name,count\nAnna Weber,500\nOtto Kern,2\n","threshold":100}`); got.status != http.StatusOK || !strings.Contains(got.body, `"names":1`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := st.do(t, st.owner, "POST", path, `{"list":"Anna Weber\n"}`); got.status != http.StatusBadRequest {
		t.Errorf("a list without counts: %d %s", got.status, got.body)
	}
}
