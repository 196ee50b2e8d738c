package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/internal/testenv"
)

// An environment of an edge has a recovery domain and one directory.
type environment struct {
	rest
	edge      *edge
	id        string
	host      string // of the recovery domain
	site      string // its origin
	directory string // id
}

// environment makes one with a recovery domain name.localhost and a directory without
// an agent. It lives as long as the edge, which lets nobody else have the domain.
func (e *edge) environment(t *testing.T, name, kind string) *environment {
	t.Helper()
	name = e.name(name)
	v := &environment{rest: e.rest(t), edge: e, host: name + ".localhost"}
	v.site = e.address(v.host)
	var made struct{ ID string }
	v.do(http.MethodPost, "/api/envs", map[string]string{"name": name, "public_name": "Corp " + name}, &made)
	v.id = made.ID
	v.do(http.MethodPost, "/api/envs/"+v.id+"/domains", map[string]string{"name": v.host}, nil)
	v.directory = v.newDirectory(kind)
	return v
}

// name is a name for an environment that no other one of the edge has.
func (e *edge) name(name string) string {
	e.names.Lock()
	defer e.names.Unlock()
	free := unused(name, func(name string) bool { return e.names.taken[name] })
	e.names.taken[free] = true
	return free
}

// newDirectory registers one more directory.
func (v *environment) newDirectory(kind string) string {
	v.t.Helper()
	var made struct{ ID string }
	v.do(http.MethodPost, "/api/directories", map[string]string{"env": v.id, "kind": kind}, &made)
	return made.ID
}

// change patches the directory: policies, methods, limits.
func (v *environment) change(patch map[string]any) {
	v.t.Helper()
	v.do(http.MethodPatch, "/api/directories/"+v.directory, patch, nil)
}

// permit lets the hub's own policy refuse nobody.
func (v *environment) permit() {
	v.t.Helper()
	open := map[string]any{"default": "name_match", "groups": []any{}}
	v.change(map[string]any{"password_policy": open, "unlock_policy": open, "mfa_policy": open})
}

// ticket makes a ticket with which an agent enrols.
func (v *environment) ticket() string {
	v.t.Helper()
	var made struct{ Ticket string }
	v.do(http.MethodPost, "/api/directories/"+v.directory+"/agent-tickets", struct{}{}, &made)
	return made.Ticket
}

// waitSynced waits until a pass that began after "since" has ended without an error.
func (v *environment) waitSynced(since time.Time) {
	v.t.Helper()
	type state struct {
		Started   *time.Time `json:"last_sync_started_at"`
		Completed *time.Time `json:"last_sync_completed_at"`
		Running   bool       `json:"sync_running"`
		Count     int
		Error     string `json:"last_sync_error"`
	}
	var d state
	v.t.Cleanup(func() {
		if v.t.Failed() {
			v.t.Logf("directory %s when it was last looked at: %+v, started %v", v.directory, d, d.Started)
		}
	})
	poll(v.t, "a finished synchronisation", func() bool {
		d = state{} // what an answer leaves out is not as it was before
		v.do(http.MethodGet, "/api/directories/"+v.directory, nil, &d)
		return d.Completed != nil && !d.Completed.Before(since.Truncate(time.Second)) && d.Count > 0 && d.Error == ""
	})
}

// mails are the environment's mails to an address, the newest first.
func (v *environment) mails(address string) (list []mailbox.Message) {
	for _, m := range v.edge.mail.Messages() {
		if strings.Contains(strings.Join(m.To, " "), address) && strings.Contains(m.Text, v.host) {
			list = append(list, m)
		}
	}
	return list
}

var codeForm = regexp.MustCompile(`\b(\d{4}) ?(\d{4})\b`)

// codes counts the mails with a code that an address has had from the environment.
func (v *environment) codes(address string) (n int) {
	for _, m := range v.mails(address) {
		if codeForm.MatchString(m.Text) {
			n++
		}
	}
	return n
}

// code waits for the mail with a code that comes after so many others, and returns the
// code in it.
func (v *environment) code(address string, after int) (code string) {
	v.t.Helper()
	poll(v.t, "a mail with a code to "+address, func() bool {
		if v.codes(address) <= after {
			return false
		}
		for _, m := range v.mails(address) {
			if c := codeForm.FindStringSubmatch(m.Text); c != nil {
				code = c[1] + c[2]
				return true
			}
		}
		return false
	})
	return code
}

// presign makes a link and returns it.
func (v *environment) presign(request map[string]any) string {
	v.t.Helper()
	var made struct{ URL string }
	v.do(http.MethodPost, "/api/envs/"+v.id+"/recovery_microsite/presign", request, &made)
	if u, err := url.Parse(made.URL); err != nil || u.Query().Get("id_token") == "" {
		v.t.Fatalf("link %q", made.URL)
	}
	return made.URL
}

// visit returns a visitor of the recovery domain.
func (v *environment) visit() *visitor {
	v.t.Helper()
	p := newVisitor(v.t, v.site, v.edge.port)
	p.client.Transport = v.edge.client().Transport
	return p
}

// on is the journey of one person on the environment's site.
func (v *environment) on(b *testenv.Browser) *journey { return newJourney(v.t, b, v.site) }
