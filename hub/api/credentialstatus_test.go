package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store/storetest"
)

func TestWhatIsDoneAboutRevokedDocumentsIsSetAndShown(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	path := "/api/envs/" + st.mine.Env.ID + "/credential-status"
	shown := func(want string) {
		t.Helper()
		if got := st.do(t, st.owner, "GET", path, ""); got.status != http.StatusOK || strings.TrimSpace(got.body) != want {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	shown(`{"status":"prefer","hosts":[]}`)
	for _, body := range []string{
		`{}`, `{"status":"always"}`, `{"status":"require","hosts":[""]}`, `{"status":"require","hosts":["https://a.example"]}`, `{"status":"require","hosts":["a.example/x"]}`,
		`{"status":"require","hosts":["A.example"]}`, `{"status":"require","hosts":["u@a.example"]}`, `{"status":"require","hosts":["a.example:"]}`, `{"status":"require","hosts":["a.example","a.example"]}`,
		`{"status":"require","hosts":["` + strings.Repeat("a", 261) + `"]}`, `{"status":"require","hosts":["a"` + strings.Repeat(`,"a"`, 40) + `]}`,
	} {
		if got := st.do(t, st.owner, "POST", path, body); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	if got := st.do(t, st.owner, "POST", path, `{"status":"require","hosts":["a.example","b.example:8443"]}`); got.status != http.StatusNoContent {
		t.Errorf("%d %s", got.status, got.body)
	}
	shown(`{"status":"require","hosts":["a.example","b.example:8443"]}`)
	if got := st.do(t, st.owner, "POST", path, `{"status":"ignore"}`); got.status != http.StatusNoContent {
		t.Errorf("%d %s", got.status, got.body)
	}
	shown(`{"status":"ignore","hosts":[]}`)
}
