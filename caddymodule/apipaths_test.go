package caddymodule

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-id/postern/internal/testenv"
)

// TestP03_NoOtherSpellingOfAPathReachesTheAPIThroughTheEdge tries every row with a key
// that may do everything, through a real Caddy, which may read a path otherwise than the
// API does.
func TestP03_NoOtherSpellingOfAPathReachesTheAPIThroughTheEdge(t *testing.T) {
	c := &running{testenv.Dir(t)}
	in := c.install(t, realHub)
	if err := c.load(t, realHub); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	client := c.client(t, "front")
	ask := func(method, path string) int {
		code, _, _ := get(t, client, "http://id.localhost/", func(r *http.Request) {
			r.Method, r.URL.Opaque = method, path
			if strings.HasPrefix(path, "//") {
				r.URL.Opaque = "http://id.localhost" + path // or it would be taken for a host
			}
			r.Header.Set("Authorization", "Bearer "+in.Key.Reveal())
		})
		return code
	}
	if code := ask("GET", "/api/envs"); code != 200 {
		t.Fatalf("the plain path: %d", code)
	}
	b, err := os.ReadFile("../hub/api/testdata/routes.txt")
	if err != nil {
		t.Fatal(err)
	}
	ids := strings.NewReplacer("{env}", in.Environment, "{", "", "}", "")
	for line := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n") {
		route := strings.Fields(line)
		path := ids.Replace(route[1])
		root, rest, _ := strings.Cut(path[1:], "/")
		for _, other := range []string{
			"//" + root + "/" + rest, "/" + root + "//" + rest, "/./" + root + "/" + rest, "/" + root + "/./" + rest, "/" + root + "/x/../" + rest, path + "/", path + "/.", path + "//",
			"/" + root + ";x/" + rest, path + ";x", path + "%3bx", "/" + root + "/%2e/" + rest, "/" + root + "%2f" + rest, "/" + root + "/%2E%2E/" + root + "/" + rest, "/" + root + "%5c" + rest,
			"/" + strings.ToUpper(root) + "/" + rest, "/" + root + "/" + strings.ToUpper(rest[:1]) + rest[1:], path + "%00", path + "%20", path + ".json", "/site/../" + root + "/" + rest,
		} {
			if code := ask(route[0], other); code < 400 || code >= 500 {
				t.Errorf("%s %s = %d", route[0], other, code)
			}
		}
	}
}
