package caddymodule

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// withLog is one node that logs everything, also by loggers for single hosts.
const withLog = `	postern {
		public_url http://id.localhost
		data_dir DIR/data
	}
}
http://id.localhost {
	bind unix/DIR/s
	log named {
		output file DIR/named {
			roll_disabled
		}
		level DEBUG
	}
	postern
}
http:// {
	bind unix/DIR/s
	log
	postern_site
}
`

const canary = "c4n4ry-5ecret"

func TestP06_NoSecretOfAnAddressStandsInALog(t *testing.T) {
	useRecorder(t)
	c := start(t, withLog)
	client := c.client(t, "s")
	targets := []string{
		"http://id.localhost/api/diragent?auth=" + canary,
		"http://id.localhost/api/diragent?x=1&AUTH=" + canary + "&y=2",
		"http://id.localhost/api/diragent?%61uth=" + canary,
		"http://id.localhost/console/link/" + canary,
		"http://id.localhost/console%2Flink%2F" + canary,
		"http://recover.localhost/?id_token=" + canary + "&op=password",
		"http://recover.localhost/?email=" + canary + "@example.com",
		"http://recover.localhost/callback?state=1&code=" + canary,
		"http://recover.localhost/not-me/" + canary,
	}
	for _, target := range targets {
		get(t, client, target, func(r *http.Request) {
			r.Header.Set("Referer", "http://recover.localhost/?id_token="+canary)
			r.Header.Set("Cookie", "session="+canary)
			r.Header.Set("Authorization", "Bearer "+canary)
		})
	}
	lines := c.lines(t, len(targets))
	if got := c.log(t); strings.Contains(got, canary) {
		t.Errorf("the log holds a secret:\n%s", got)
	}
	if len(lines) != len(targets) {
		t.Errorf("%d access-log lines for %d requests", len(lines), len(targets))
	}
	if !strings.Contains(c.log(t), "op=password") {
		t.Error("what is no secret was hidden too")
	}
}

func TestP06_NoSecretOfAnAnswerStandsInALog(t *testing.T) {
	useRecorder(t)
	c := start(t, plainHTTP)
	get(t, c.client(t, "s"), "http://id.localhost/form", func(r *http.Request) {
		r.Method = "POST"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Body = io.NopCloser(strings.NewReader("redirect=https%3A%2F%2Frp.example%2Fcb%3Fstate%3D1%26code%3D" + canary))
	})
	line := c.lines(t, 1)[0]
	if got := c.log(t); strings.Contains(got, canary) {
		t.Errorf("the log holds a secret:\n%s", got)
	}
	if line["status"] != float64(http.StatusSeeOther) {
		t.Errorf("status %v in the log", line["status"])
	}
}

func TestAccessLogLinesWithoutSecretsStayCaddys(t *testing.T) {
	useRecorder(t)
	c := start(t, withLog)
	get(t, c.client(t, "s"), "http://id.localhost/api/envs?count=5")
	get(t, c.client(t, "s"), "http://id.localhost/api/diragent?auth="+canary)
	lines := c.lines(t, 2)
	for name := range lines[0] {
		if _, ok := lines[1][name]; !ok {
			t.Errorf("the redacted line lacks %q", name)
		}
	}
	if lines[0]["logger"] != lines[1]["logger"] {
		t.Errorf("loggers %v and %v", lines[0]["logger"], lines[1]["logger"])
	}
}

func TestRedactHidesValuesOnly(t *testing.T) {
	for in, want := range map[string]string{
		"/":                               "/",
		"/?op=mfa&dir=1":                  "/?op=mfa&dir=1",
		"/?id_token=a&op=mfa":             "/?id_token=REDACTED&op=mfa",
		"/?op=mfa#id_token=a":             "/?op=mfa#REDACTED",
		"/?id_token":                      "/?id_token=REDACTED",
		"/?id%5Ftoken=a":                  "/?id%5Ftoken=REDACTED",
		"/?a;auth=b":                      "/?a;auth=b",
		"/?%zz=secret":                    "/?%zz=REDACTED",
		"/not-me/abc/def":                 "/not-me/REDACTED",
		"/not-me/":                        "/not-me/",
		"/%zz/secret":                     "/REDACTED",
		"https://rp.example/cb?code=x":    "https://rp.example/cb?code=REDACTED",
		"https://rp.example/cb#code=x":    "https://rp.example/cb#REDACTED",
		"/pictures/secret":                "/pictures/REDACTED",
		"/console/link/secret?auth=again": "/console/link/REDACTED?auth=REDACTED",
	} {
		if got := redact(in); got != want {
			t.Errorf("redact(%q) = %q; want %q", in, got, want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("/?auth=", "")
	f.Add("/x?a=b&%61uth=", "&c=d")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.ContainsAny(before+after, "#\x00") || !strings.Contains(before, "?") {
			return // no target with a query that a client could send
		}
		target := before + "&auth=" + canary + "&" + after
		if got := redact(target); strings.Contains(got, canary) {
			t.Errorf("redact(%q) = %q", target, got)
		}
	})
}
