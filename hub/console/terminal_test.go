package console

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/nacl/box"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/terminal"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// freely limits nothing.
type freely struct{}

func (freely) Take(context.Context, string, int, time.Duration) (bool, error) { return true, nil }

// A commandLine is a command line that wants to be signed in.
type commandLine struct {
	key             string
	public, private *[32]byte
}

func newLine(t *testing.T) commandLine {
	t.Helper()
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return commandLine{base64.RawURLEncoding.EncodeToString(public[:]), public, private}
}

// fetched is what the command line gets now: the API key, or a status.
func (l commandLine) fetched(t *testing.T, g *rig) (key string, status int) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(terminal.Pattern, g.terminals)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/cli/login/"+l.key, nil))
	b, _ := io.ReadAll(w.Body)
	if w.Code != http.StatusOK || len(b) == 0 { // it is held back for longer than the test waits
		return "", http.StatusNoContent
	}
	text, ok := box.OpenAnonymous(nil, b, l.public, l.private)
	if !ok {
		t.Fatal("what came back does not open with the terminal's key")
	}
	return string(text), w.Code
}

// ann joins as an administrator whose word counts, and is not signed in yet.
func (g *rig) ann(role string) (*admin, *evidencetest.Authenticator) {
	g.t.Helper()
	a := g.admin()
	key := g.joined(a, g.invited(g.signedIn(), role, "ann@acme.example"))
	return a, key
}

func TestT32_ATerminalIsSignedInByItsCodeAndAPasskey(t *testing.T) {
	g := newRig(t)
	l := newLine(t)
	path := "/cli/login/" + l.key
	a, passkey := g.ann(staff.Admin)
	g.ahead(25 * time.Hour)
	a.get(path).sees(403, "Sign in with my passkey")
	a.send("/console/enter", url.Values{"answer": {string(passkey.Assert(challenge(t, a.body)))}}).sees(200, "Sign a command line in?", "nobody from support ever asks for this")
	if strings.Contains(a.body, terminal.Code(l.key)) {
		t.Error("the page shows the code that has to be read from the terminal")
	}
	a.send(path, url.Values{"code": {"AAAA-AAAA"}, "role": {"user"}, "days": {"7"}}).sees(422, "Your terminal shows another code")
	a.send(path, url.Values{"code": {strings.ToLower(terminal.Code(l.key))}, "role": {"user"}, "days": {"7"}}).sees(200, "Confirm with your passkey", "7 days", "Help desk")
	other := evidencetest.NewAuthenticator(g.url)
	a.send(path+"/confirm", url.Values{"answer": {string(other.Assert(challenge(t, a.body)))}}).sees(403)
	a.send(path+"/confirm", url.Values{"answer": {string(passkey.Assert(challenge(t, a.body)))}}).sees(200, "The terminal is signed in")
	text, _ := l.fetched(t, g)
	var k store.APIKey
	g.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		k, err = tx.APIKeyByHash(ctx, store.HashToken(text))
		return err
	})
	if left := k.Expires.Sub(g.store.Now()); k.Role != staff.User || left > 7*24*time.Hour || left < 6*24*time.Hour || !strings.Contains(k.Name, "Ann") {
		t.Errorf("the key is %+v", k)
	}
	var found bool
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		rows, err := audit.List(ctx, tx, g.Env.Org, store.AuditFilter{Kinds: []string{string(audit.CLISignin)}})
		found = len(rows) == 1 && bytes.Contains(rows[0].Detail, []byte(`"session":"`+k.ID)) && rows[0].Actor.OrgMember != ""
		return err
	})
	if !found {
		t.Error("the audit log does not tell of it")
	}
}

func TestT32_ATerminalGetsNoMoreThanWhoApprovesItAndOnlyOnce(t *testing.T) {
	g := newRig(t)
	l := newLine(t)
	path := "/cli/login/" + l.key
	a, passkey := g.ann(staff.User)
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.StaffList(ctx, g.Env.Org)
		for _, s := range all {
			_, err = tx.SetStaffRole(ctx, s.Org, s.ID, s.Role, tx.Now().Add(staff.Trial))
		}
		return err
	})
	enter := func() {
		a.get(path).send("/console/enter", url.Values{"answer": {string(passkey.Assert(challenge(t, a.body)))}})
	}
	enter()
	a.sees(403, "For 24 hours you decide nothing yet")
	g.ahead(25 * time.Hour)
	enter()
	a.sees(200)
	tail := l.key[len(l.key)-6:] // a published command line shows only the address
	a.send(path, url.Values{"code": {tail}, "role": {"owner"}, "days": {"9999"}}).sees(200, "1 day", "Reader")
	answer := url.Values{"answer": {string(passkey.Assert(challenge(t, a.body)))}}
	more := url.Values{"answer": answer["answer"], "role": {"user"}}
	a.send(path+"/confirm", more).sees(403) // another role than was signed
	a.send(path+"/confirm", url.Values{"answer": {string(passkey.Assert(challenge(t, a.body)))}}).sees(200, "signed in")
	first, _ := l.fetched(t, g)
	a.get(path).send(path, url.Values{"code": {tail}}).send(path+"/confirm", url.Values{"answer": {string(passkey.Assert(challenge(t, a.body)))}}).sees(409, "was signed in before")
	if again, _ := l.fetched(t, g); again != first {
		t.Error("another key came back")
	}
	g.ahead(time.Hour)
	if _, status := l.fetched(t, g); status == http.StatusOK {
		t.Error("the key can be fetched for ever")
	}
	owner := g.signedIn()
	owner.get(path).sees(403, "you need a passkey of your own")
	owner.get("/cli/login/short").sees(404)
}

func TestASignInGoesBackOnlyToThePageOfATerminal(t *testing.T) {
	key := strings.Repeat("k", 43)
	for path, want := range map[string]string{"/cli/login/" + key: "/cli/login/" + key, "https://evil.example/cli/login/" + key: "/console", "//evil.example": "/console",
		"/cli/login/" + key + "/../../console/staff": "/console", "/console/staff": "/console", "": "/console"} {
		if got := back(path); got != want {
			t.Errorf("%s leads to %s", path, got)
		}
	}
}

func TestT32_ACommandLineEndsWithWhatItsPersonMayDo(t *testing.T) {
	var env string // environment of the one that is recovered
	for what, change := range map[string]func(ctx context.Context, tx *store.Tx, s store.Staff) error{
		"removed": func(ctx context.Context, tx *store.Tx, s store.Staff) error { return tx.RemoveStaff(ctx, s.Org, s.ID) },
		"given less": func(ctx context.Context, tx *store.Tx, s store.Staff) error {
			_, err := tx.SetStaffRole(ctx, s.Org, s.ID, staff.Limited, tx.Now())
			return err
		},
		"itself recovered": func(ctx context.Context, tx *store.Tx, s store.Staff) error {
			n, err := tx.SuspendStaff(ctx, env, "", "", []string{s.Mail}, tx.Now().Add(time.Hour))
			if err == nil && n != 1 {
				return errors.New("nobody was suspended")
			}
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			g := newRig(t)
			env = g.Env.ID
			l := newLine(t)
			path := "/cli/login/" + l.key
			a, passkey := g.ann(staff.Admin)
			g.ahead(25 * time.Hour)
			a.get(path).send("/console/enter", url.Values{"answer": {string(passkey.Assert(challenge(t, a.body)))}})
			a.send(path, url.Values{"code": {terminal.Code(l.key)}}).send(path+"/confirm", url.Values{"answer": {string(passkey.Assert(challenge(t, a.body)))}}).sees(200, "signed in")
			text, _ := l.fetched(t, g)
			g.tx(func(ctx context.Context, tx *store.Tx) error {
				all, err := tx.StaffList(ctx, g.Env.Org)
				if err != nil || len(all) != 1 {
					return fmt.Errorf("%d people, %w", len(all), err)
				}
				return change(ctx, tx, all[0])
			})
			err := g.store.Read(t.Context(), func(tx *store.Tx) error {
				_, err := tx.APIKeyByHash(t.Context(), store.HashToken(text))
				return err
			})
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the key still works: %v", err)
			}
		})
	}
}
