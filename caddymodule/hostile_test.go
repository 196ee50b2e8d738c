package caddymodule

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-id/postern/internal/testenv"
)

// realHub serves both handlers of a real hub over one socket.
const realHub = `	postern {
		public_url http://id.localhost
		data_dir DIR/data
	}
}
http://id.localhost {
	bind unix/DIR/front
	postern
}
http:// {
	bind unix/DIR/front
	postern_site
}
`

// paths are those of the API's rows, and of site and console.
func paths(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("../hub/api/testdata/routes.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"GET /", "GET /console", "GET /console/link/x", "GET /start", "POST /start", "GET /r/x", "GET /not-me", "GET /theme.css", "GET /static/none",
		"GET /readyz", "GET /healthz", "GET /api/agent", "GET /api/diragent", "GET /robots.txt", "GET //evil.example.com/..", "GET /%2f%2fevil.example.com"}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		all = append(all, strings.Join(strings.Fields(line)[:2], " "))
	}
	return all
}

func TestP05_HostileHeadersChangeNoAnswer(t *testing.T) {
	c := &running{testenv.Dir(t)}
	in := c.install(t, realHub)
	if err := c.load(t, realHub); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	client := c.client(t, "front")
	const evil = "evil.example.com"
	for _, route := range paths(t) {
		method, path, _ := strings.Cut(route, " ")
		path = strings.NewReplacer("{", "", "}", "").Replace(path)
		for _, host := range []string{"id.localhost", "recover.localhost", evil, "id.localhost." + evil} {
			code, body, header := get(t, client, "http://"+host+"/", func(r *http.Request) {
				r.Method, r.URL.Opaque = method, path
				if strings.HasPrefix(path, "//") {
					r.URL.Opaque = "http://" + host + path
				}
				for _, h := range forwarding {
					r.Header.Set(h, evil)
				}
				r.Header.Set("Origin", "https://"+evil)
				r.Header.Set("Authorization", "Bearer "+in.Key.Reveal())
			})
			at := fmt.Sprintf("%s on %s", route, host)
			if strings.HasSuffix(host, evil) && code < 400 && path != "/readyz" && path != "/healthz" {
				t.Errorf("%s is answered with %d", at, code)
			}
			if location := header.Get("Location"); strings.Contains(location, "//") && !strings.HasPrefix(location, "http://id.localhost/") {
				t.Errorf("%s redirects to %s", at, location)
			}
			if !strings.Contains(path, "evil") && strings.Contains(body+fmt.Sprint(header), evil) {
				t.Errorf("%s reflects a header: %d %v %.300s", at, code, header, body)
			}
		}
	}
}
