package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

func TestApplicationsAreRegisteredWithWhatTheyProveThemselvesBy(t *testing.T) {
	st := lite(t)
	path, env, dir := "/api/envs/"+st.mine.Env.ID+"/oidc-clients", st.mine.Env.ID, st.mine.Directory.ID
	const key = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	for name, x := range map[string]struct {
		body           string
		status         int
		id, alg, words string
		secret         bool
	}{
		"by a secret":            {`{"contract":"openid","name":"App","redirect_uris":["https://app.test/back"]}`, 201, "", "ES256", "", true},
		"of a directory":         {`{"contract":"openid","name":"App","directory":"` + dir + `","allow_strict":true}`, 201, "", "ES256", "", true},
		"by a key":               {`{"contract":"openid","name":"App","token_endpoint_auth_method":"private_key_jwt","jwks":` + key + `,"id_token_signed_response_alg":"RS256"}`, 201, "", "RS256", "", false},
		"public":                 {`{"contract":"openid","name":"App","token_endpoint_auth_method":"none","id_token_signed_response_alg":"EdDSA"}`, 201, "", "EdDSA", "", false},
		"that is the env":        {`{"contract":"openid","name":"App","client_id":"` + env + `","pkce":"optional"}`, 201, env, "ES256", "", true},
		"that is the directory":  {`{"contract":"openid","name":"App","client_id":"` + dir + `","directory":"` + dir + `"}`, 201, dir, "ES256", "", true},
		"of an id of its choice": {`{"contract":"openid","name":"App","client_id":"mine"}`, 400, "", "", "client_id", false},
		"the env's in a directory": {`{"contract":"openid","name":"App","client_id":"` + env + `","directory":"` + dir + `"}`, 400, "", "",
			"directory", false},
		"a directory's without it": {`{"contract":"openid","name":"App","client_id":"` + dir + `"}`, 400, "", "", "client_id", false},
		"an algorithm":             {`{"contract":"openid","name":"App","id_token_signed_response_alg":"HS256"}`, 400, "", "", "ES256, RS256 or EdDSA", false},
		"a key that is none":       {`{"contract":"openid","name":"App","token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[]}}`, 400, "", "", "jwks", false},
		"no key":                   {`{"contract":"openid","name":"App","token_endpoint_auth_method":"private_key_jwt"}`, 400, "", "", "jwks", false},
		"plain http":               {`{"contract":"openid","name":"App","redirect_uris":["http://app.test/back"]}`, 400, "", "", "redirect_uris", false},
		"without PKCE in public":   {`{"contract":"openid","name":"App","token_endpoint_auth_method":"none","pkce":"optional"}`, 400, "", "", "pkce", false},
		"PKCE for Okta":            {`{"contract":"okta_idv","name":"Okta","redirect_uris":["https://o.test/b"],"pkce":"plain"}`, 400, "", "", "only for openid", false},
	} {
		t.Run(name, func(t *testing.T) {
			text := st.want(t, x.status, "POST", path, x.body).body
			if x.status != 201 {
				if !strings.Contains(text, x.words) {
					t.Errorf("%s", text)
				}
				return
			}
			var got struct {
				ID     string `json:"client_id"`
				Secret string `json:"client_secret"`
				Keys   []struct{ Alg string }
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}
			if x.id != "" && got.ID != x.id || (got.Secret != "") != x.secret || len(got.Keys) != 1 || got.Keys[0].Alg != x.alg {
				t.Errorf("%s", text)
			}
			if again := st.want(t, 201, "POST", path+"/"+got.ID+"/keys", "").body; !strings.Contains(again, `"state":"next"`) || strings.Count(again, `"alg":"`+x.alg+`"`) != 2 {
				t.Errorf("the next key: %s", again)
			}
			if want := map[bool]int{true: 201, false: 400}[x.secret]; want != 0 {
				st.want(t, want, "POST", path+"/"+got.ID+"/secrets", "")
			}
		})
	}
	st.want(t, 400, "POST", path, `{"contract":"openid","name":"Again","client_id":"`+env+`"}`)
}

func TestT11_AdministratorsGiveClientsKeysThatLieOutsideOfTheHub(t *testing.T) {
	st := lite(t)
	agent := testenv.StartSSHAgent(t, nil)
	path := "/api/envs/" + st.mine.Env.ID + "/oidc-clients"
	const body = `{"contract":"openid","name":"App","redirect_uris":["https://app.test/back"]}`
	by := func(path, fingerprint string) string {
		return path + "?" + url.Values{"external": {fingerprint}}.Encode()
	}
	one, _ := agent.Make(t, testenv.SSHP256)
	two, _ := agent.Make(t, testenv.SSHP256)
	rsa, _ := agent.Make(t, testenv.SSHRSA)
	if text := st.want(t, 400, "POST", by(path, one), body).body; !strings.Contains(text, "this hub has no signer") {
		t.Error(text)
	}
	if err := st.signers.Move("unix/" + agent.Socket); err != nil {
		t.Fatal(err)
	}
	var got struct {
		ID   string `json:"client_id"`
		Keys []struct{ State, External string }
	}
	if err := json.Unmarshal([]byte(st.want(t, 201, "POST", by(path, one), body).body), &got); err != nil || len(got.Keys) != 1 || got.Keys[0].State != "active" || got.Keys[0].External != one {
		t.Fatalf("%+v, %v", got, err)
	}
	if text := st.want(t, 400, "POST", by(path, one), body).body; !strings.Contains(text, "each has its own") {
		t.Error(text)
	}
	keys := path + "/" + got.ID + "/keys"
	for fingerprint, want := range map[string]string{rsa: `want a key for \"ES256\"`, one: "each has its own", "SHA256:none": "does not hold", "none": "SHA256:"} {
		if text := st.want(t, 400, "POST", by(keys, fingerprint), "").body; !strings.Contains(text, want) {
			t.Errorf("%s: %s", fingerprint, text)
		}
	}
	if text := st.want(t, 201, "POST", by(keys, two), "").body; !strings.Contains(text, `"state":"next"`) || !strings.Contains(text, `"external":"`+two+`"`) {
		t.Error(text)
	}
	if text := st.want(t, 200, "GET", path+"/"+got.ID, "").body; !strings.Contains(text, one) || !strings.Contains(text, two) {
		t.Error(text)
	}
	agent.Stop()
	if g := st.want(t, 503, "POST", by(keys, two), ""); g.header.Get("Retry-After") == "" || !strings.Contains(g.body, "the signer outside of the hub does not answer") {
		t.Error(g)
	}
}
