package api

import (
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
)

func TestStorageOfAnEnvironmentIsKeptSealedAndShownWithoutItsKeys(t *testing.T) {
	st := lite(t)
	env := "/api/envs/" + st.mine.Env.ID
	st.want(t, 400, "POST", env+"/storage/test", "")
	const canary = "postern_canary"
	st.want(t, 204, "PATCH", env, `{"storage":{"s3_bucket_eu":"evidence","s3_access_key_id":"AK1","s3_secret_access_key":"`+canary+`","s3_endpoint":"http://127.0.0.1:1"}}`)
	for _, path := range []string{env, env + "/storage", "/api/envs"} {
		if got := st.want(t, 200, "GET", path, ""); strings.Contains(got.body, canary) || !strings.Contains(got.body, `"s3_bucket_eu":"evidence"`) {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	if got := st.want(t, 200, "POST", env+"/storage/test", ""); got.member(t, "ok") != false || got.member(t, "error") == nil || strings.Contains(got.body, canary) {
		t.Errorf("where nobody answers: %s", got.body)
	}
	before := st.keptStorage(t)
	st.want(t, 204, "PATCH", env, `{"storage":{"s3_bucket_eu":"evidence","s3_access_key_id":"AK1","s3_endpoint":"http://127.0.0.1:1"}}`)
	st.want(t, 204, "PATCH", env, `{"name":"kept"}`)
	if after := st.keptStorage(t); before.ID != after.ID || !strings.Contains(string(after.Settings), canary) {
		t.Errorf("written as it was read: %s, then %s", before.Settings, after.Settings)
	}
	for _, body := range []string{
		`{"s3_bucket_eu":"evidence","s3_access_key_id":"AK1","s3_endpoint":"https://evil.test"}`, `{"s3_bucket_eu":"evidence"}`, `{"s3_bucket":"x"}`,
		`{"azure_blob_us":"https://a.blob.core.windows.net/c"}`, `{"s3_bucket_us":"evidence","s3_bucket_eu":"evidence","s3_access_key_id":"k","s3_secret_access_key":"s"}`,
	} {
		if got := st.want(t, 400, "PATCH", env, `{"storage":`+body+`}`); !strings.Contains(got.body, "s3_") && !strings.Contains(got.body, "azure_blob_us") && !strings.Contains(got.body, "region") {
			t.Errorf("%s: %s", body, got.body)
		}
	}
	sealed, _ := st.want(t, 200, "POST", env+"/encrypt-secret", `{"plaintext":"`+canary+`2"}`).member(t, "ciphertext").(string)
	st.want(t, 204, "PATCH", env, `{"storage":{"s3_bucket_us":"evidence","s3_access_key_id":"AK1","s3_secret_access_key":"`+sealed+`"}}`)
	if after := st.keptStorage(t); !strings.Contains(string(after.Settings), canary+"2") {
		t.Errorf("an encrypted key: %s", after.Settings)
	}
	st.want(t, 204, "PATCH", env, `{"storage":null}`)
	if got := st.want(t, 200, "GET", env, ""); strings.Contains(got.body, `"storage"`) {
		t.Errorf("after removal: %s", got.body)
	}
	rows, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]string, error) {
		return store.All(t.Context(), tx, store.Text, "SELECT leaf FROM audit_events WHERE env = $1", st.mine.Env.ID)
	})
	if all := strings.Join(rows, "\n"); err != nil || strings.Contains(all, canary) || !strings.Contains(all, `"s3_bucket_eu"`) {
		t.Errorf("records %s, %v", all, err)
	}
}

func (st *stack) keptStorage(t *testing.T) store.Storage {
	t.Helper()
	s, err := store.Get(t.Context(), st.store, func(tx *store.Tx) (store.Storage, error) { return tx.ActiveStorage(t.Context(), st.mine.Env.ID) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}
