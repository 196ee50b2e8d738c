package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-id/postern/protocol"
)

// evil is the host that an attacker would like to see in our addresses.
const evil = "evil.example"

// hostile are headers that claim another host, scheme or client.
func hostile() http.Header {
	h := http.Header{"Forwarded": {"for=203.0.113.9;host=" + evil + ";proto=https"}}
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "X-Original-Host", "X-Http-Host-Override", "X-Forwarded-Prefix"} {
		h.Set(name, evil)
	}
	h.Set("X-Forwarded-Proto", "https")
	h.Set("X-Forwarded-Port", "6666")
	h.Set("X-Original-Url", "https://"+evil+"/")
	h.Set("X-Rewrite-Url", "https://"+evil+"/")
	return h
}

// pages are addresses of the recovery site that anybody may load, and forms that anybody
// may send.
var pages = []struct{ method, path string }{
	{"GET", "/"}, {"GET", "/?email=x@corp.example&op=password"}, {"GET", "/?id_token=x.y.z"}, {"GET", "/?lang=de"}, {"GET", "/start"}, {"POST", "/start"},
	{"GET", "/r/AAAAAAAAAAAAAAAAAAAAAA"}, {"GET", "/r/AAAAAAAAAAAAAAAAAAAAAA/state"}, {"GET", "/r/AAAAAAAAAAAAAAAAAAAAAA/choose"},
	{"POST", "/r/AAAAAAAAAAAAAAAAAAAAAA/choose"}, {"POST", "/r/AAAAAAAAAAAAAAAAAAAAAA/code"}, {"POST", "/r/AAAAAAAAAAAAAAAAAAAAAA/resend"},
	{"POST", "/r/AAAAAAAAAAAAAAAAAAAAAA/perform"}, {"POST", "/r/AAAAAAAAAAAAAAAAAAAAAA/acknowledge"}, {"POST", "/r/AAAAAAAAAAAAAAAAAAAAAA/cancel"},
	{"GET", "/not-me?token=x"}, {"POST", "/not-me"}, {"GET", "/theme.css"}, {"GET", "/logo"}, {"GET", "/robots.txt"}, {"GET", "/static/site.js"}, {"GET", "/nowhere"},
	{"GET", "//" + "nowhere"}, {"GET", "/./r"}, {"DELETE", "/"},
}

func TestP05_HostileHeadersChangeNoAnswerOfTheSite(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeConfig{Global: trusting}) // the worse case: this machine is a trusted proxy
	v := e.environment(t, "hosts", "ldap")
	for _, p := range pages {
		plain, attacked := v.visit(), v.visit()
		attacked.address = plain.address
		attacked.extra = hostile()
		plain.alone(p.method, p.path, nil)
		attacked.alone(p.method, p.path, nil)
		if a, b := plain.seenAs(), attacked.seenAs(); incident(a) != incident(b) {
			t.Errorf("%s %s: hostile headers change the answer: %s", p.method, p.path, difference(a, b))
		}
		if strings.Contains(attacked.seenAs(), evil) {
			t.Errorf("%s %s reflects the host", p.method, p.path)
		}
		for _, host := range []string{evil, v.host + "." + evil, evil + ":80", "x@" + v.host, "localhost." + evil, "127.0.0.1"} {
			other := v.visit()
			other.extra = http.Header{"Host": {host}}
			status := other.alone(p.method, p.path, nil)
			if status != http.StatusNotFound && status != http.StatusMisdirectedRequest && status != http.StatusBadRequest || strings.Contains(other.seenAs(), evil) {
				t.Errorf("%s %s as %s: %d: %s", p.method, p.path, host, status, other.seenAs())
			}
		}
	}
}

// incident takes the number of an incident out, which is random.
func incident(s string) string {
	head, _, _ := strings.Cut(s, "incident")
	return head
}

func TestP05_HostileHeadersChangeNoAddressInMailsLinksAndTickets(t *testing.T) {
	t.Parallel()
	s := corp(t)
	vera := hire(t, s, "verena", "")
	e := startEdge(t, edgeConfig{Global: trusting})
	v := e.environment(t, "mails", "ldap")
	a := v.startAgent(slapdAgent(s))
	p := v.visit()
	p.extra = hostile()
	p.begin(vera.mail, "password")
	p.prove(v.code(vera.private, 0))
	p.press()
	p.finish()
	v.notMe(vera.mail)
	for _, m := range v.edge.mail.Messages() {
		if strings.Contains(string(m.Raw), evil) || strings.Contains(m.Text, evil) {
			t.Errorf("a mail says %s:\n%s", evil, m.Text)
		}
	}
	if text := v.mails(vera.mail)[0].Text; !strings.Contains(text, v.site+"/not-me?token=") {
		t.Errorf("the notice does not lead to %s: %s", v.site, text)
	}
	for _, b := range a.events("begin") {
		if b.Origin != v.site {
			t.Errorf("the agent was told of the origin %q", b.Origin)
		}
	}
	attacked := v.rest
	attacked.header = hostile()
	var link struct{ URL string }
	attacked.do(http.MethodPost, "/api/envs/"+v.id+"/recovery_microsite/presign", map[string]any{"email": vera.mail, "ttl": "5m"}, &link)
	if !strings.HasPrefix(link.URL, v.site+"/?id_token=") {
		t.Errorf("a presigned link leads to %s", link.URL)
	}
	var made struct{ Ticket string }
	attacked.do(http.MethodPost, "/api/directories/"+v.directory+"/agent-tickets", struct{}{}, &made)
	ticket, err := protocol.ParseTicket(made.Ticket)
	if err != nil || ticket.Hub != e.url || ticket.HubName != "localhost" {
		t.Errorf("a ticket leads to %s, %s (%v)", ticket.Hub, ticket.HubName, err)
	}
	for _, path := range []string{"/api/envs", "/api/envs/" + v.id, "/api/envs/" + v.id + "/domains", "/api/directories", "/api/directories/" + v.directory,
		"/api/directories/" + v.directory + "/agents", "/api/accounts?env=" + v.id, "/api/apikeys", "/api/nowhere", "/", "/console/", "/healthz", "/readyz", "/api/agent", "/api/diragent"} {
		status, body, err := attacked.try(http.MethodGet, path, nil)
		if err != nil || strings.Contains(string(body), evil) {
			t.Errorf("%s: %d %s (%v)", path, status, body, err)
		}
		other := v.rest
		other.header = http.Header{"Host": {evil}}
		status, body, err = other.try(http.MethodGet, path, nil)
		if err != nil || strings.Contains(string(body), evil) || status < 400 && path != "/healthz" && path != "/readyz" {
			t.Errorf("%s as %s: %d %s (%v)", path, evil, status, body, err)
		}
	}
}
