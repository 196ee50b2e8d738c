package api

import (
	"fmt"
	"strings"
	"testing"
)

func TestCallbackAddressesAreHTTPSOrTheLoopbackAndComeBackAsTheyWere(t *testing.T) {
	st := lite(t)
	path := "/api/envs/" + st.mine.Env.ID
	good := `["https://app.example.com/cb","https://app.example.com/cb?x=1","http://127.0.0.1:8080/cb","http://localhost:9000/callback","http://[::1]/cb","https://app.example.com"]`
	st.want(t, 204, "PATCH", path, `{"callback_urls":`+good+`,"terms_of_service_url":"https://example.com/terms"}`)
	st.want(t, 204, "PATCH", path, `{"name":"kept"}`)
	got := st.want(t, 200, "GET", path, "")
	if !strings.Contains(got.body, `"callback_urls":`+good) || got.member(t, "terms_of_service_url") != "https://example.com/terms" {
		t.Errorf("the environment is now %s", got.body)
	}
	for _, c := range []string{
		"http://app.example.com/cb", "https://x;script-src-elem/cb", "http://localhost.example.com/cb", "http://127.0.0.1.example.com/cb", "https://app.example.com/cb#x", "https://app.example.com/#",
		"https://u:p@app.example.com/cb", "https:///cb", "https://*.example.com/cb", "//app.example.com/cb", "app:/cb", "javascript:alert(1)", "", " https://app.example.com/cb",
		"https://app.example.com/c b", "https://app.example.com\\\\@evil.test/cb", "https://münchen.example/cb", "http://10.0.0.1/cb", "http://[::1%25lo]/cb",
		"https://app.example.com/" + strings.Repeat("x", maxURL),
	} {
		got := st.want(t, 400, "PATCH", path, `{"callback_urls":["`+c+`"]}`)
		if !strings.Contains(got.body, "callback_urls") {
			t.Errorf("%q: %s", c, got.body)
		}
	}
	st.want(t, 400, "PATCH", path, `{"callback_urls":["https://a.test/","https://a.test/"]}`)
	many := make([]string, maxCallbacks+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"https://a.test/%d"`, i)
	}
	st.want(t, 400, "PATCH", path, `{"callback_urls":[`+strings.Join(many, ",")+`]}`)
	if got := st.want(t, 200, "GET", path, ""); !strings.Contains(got.body, `"callback_urls":`+good) {
		t.Errorf("a refused change was kept: %s", got.body)
	}
	st.want(t, 204, "PATCH", path, `{"callback_urls":[],"terms_of_service_url":""}`)
	if got := st.want(t, 200, "GET", path, ""); !strings.Contains(got.body, `"callback_urls":[]`) || got.member(t, "terms_of_service_url") != "" {
		t.Errorf("after removal: %s", got.body)
	}
}
