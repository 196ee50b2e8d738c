package agent

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// revocations is an issuer with a status list that a real HTTPS server gives out.
type revocations struct {
	*httptest.Server
	authority *evidencetest.Authority
	value     atomic.Int32 // of every entry
	status    atomic.Int32 // of the answers
	asked     atomic.Int32
}

func (v *revocations) uri() string { return v.URL + "/lists/1" }

func startRevocations(t *testing.T, authority *evidencetest.Authority) *revocations {
	t.Helper()
	v := &revocations{authority: authority}
	v.status.Store(http.StatusOK)
	v.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.asked.Add(1)
		if r.URL.Path == "/elsewhere" {
			http.Redirect(w, r, "/lists/1", http.StatusFound)
			return
		}
		text, err := authority.Credentials.StatusJWT(evidencetest.StatusList{URI: v.uri(), Issued: time.Now(), TTL: time.Hour, Bits: 2, Values: []byte{0, byte(v.value.Load())}})
		if err != nil || !strings.Contains(r.Header.Get("Accept"), "statuslist+jwt") {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.WriteHeader(int(v.status.Load()))
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(v.Close)
	return v
}

// card is a credential of Kim with an entry in the list, or without one.
func (v *revocations) card(t *testing.T, listed bool) *evidencetest.SDJWT {
	t.Helper()
	plain := map[string]any{}
	if listed {
		plain["status"] = map[string]any{"status_list": map[string]any{"uri": v.uri(), "idx": 1}}
	}
	c, err := v.authority.IssueClaims(map[string]any{"family_name": "Hatano", "given_name": "Kim", "birthdate": "1988-02-29", "document_number": "D-1", "issuing_country": "UT", "date_of_expiry": "2040-01-01"}, plain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func showCard(t *testing.T, c *evidencetest.SDJWT, context protocol.Context) []protocol.Evidence {
	t.Helper()
	required, optional := evidence.CredentialClaims()
	text, err := c.Present("origin:"+recoverySite, context.String(), time.Now(), append(required, optional...)...)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := evidence.Presentation{Transport: evidence.TransportDCAPI, Origin: recoverySite, Response: []byte(text)}.Raw()
	if err != nil {
		t.Fatal(err)
	}
	return []protocol.Evidence{{Type: evidence.TypeSDJWT, Raw: raw}}
}

func TestARevokedDocumentCountsAsTheFileSays(t *testing.T) {
	authority, err := evidencetest.NewAuthority("UT", "Utopia", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	v := startRevocations(t, authority)
	dir := t.TempDir()
	ca, trust := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "iaca.pem")
	if err := errors.Join(os.WriteFile(ca, pemOf(v.Certificate()), 0o600), os.WriteFile(trust, authority.PEM(), 0o600)); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[string]struct{ valid, revoked, away, unlisted bool }{
		"":                     {true, true, true, true},
		evidence.StatusIgnore:  {true, true, true, true},
		evidence.StatusPrefer:  {true, false, true, true},
		evidence.StatusRequire: {true, false, false, false},
	} {
		for name, c := range map[string]struct {
			value, status int32
			listed, want  bool
		}{
			"valid": {0, 200, true, want.valid}, "revoked": {1, 200, true, want.revoked}, "suspended": {2, 200, true, want.revoked},
			"its host is away": {0, 500, true, want.away}, "it names no list": {0, 200, false, want.unlisted},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				v.value.Store(c.value)
				v.status.Store(c.status)
				r, srv := strictRig(t, required([]string{"agent_code"}))
				e := &r.cfg.Evidence
				e.Trust, e.Status, e.StatusHosts, e.StatusCAFile = []string{trust}, mode, []string{strings.TrimPrefix(v.URL, "https://")}, ca
				e.Groups[0].Methods = [][]string{{"digital_credential", "agent_code"}}
				if err := e.Check(true); err != nil {
					t.Fatal(err)
				}
				r.restart(t)
				f, _ := r.frameFor(t, reset)
				r.proveCode(t, srv, 1, f.Members.Recovery)
				f.Evidence = showCard(t, v.card(t, c.listed), f.Context)
				if out := r.performed(t, f); (out.State == protocol.Done) != c.want {
					t.Errorf("%+v %v", out.State, out.Error)
				}
			})
		}
	}
	for _, bad := range []proof.Settings{{Status: "always", StatusHosts: []string{"x"}}, {Status: evidence.StatusRequire}} {
		if err := bad.Check(true); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestStatusListsAreReadFromTheFilesHostsAloneAndKeptForMinutes(t *testing.T) {
	authority, err := evidencetest.NewAuthority("UT", "Utopia", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	v, at := startRevocations(t, authority), &clock{}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(v.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(v.URL, "https://")
	l, err := newStatusLists(proof.Settings{StatusHosts: []string{host}, StatusCAFile: ca}, at.now)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "http://" + host + "/lists/1", "https://127.0.0.1/lists/1", "https://user@" + host + "/", "https://" + host + ".evil.example/", "https://metadata.internal/", "file:///etc/passwd", "https://" + host + "/#x", v.URL + "/elsewhere"} {
		if _, err := l.token(t.Context(), bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	before := v.asked.Load()
	for range 3 {
		if token, err := l.token(t.Context(), v.uri()); err != nil || len(token) == 0 {
			t.Fatal(err)
		}
	}
	if n := v.asked.Load() - before; n != 1 {
		t.Errorf("asked %d times", n)
	}
	at.forward(statusKeep + time.Second)
	if _, err := l.token(t.Context(), v.uri()); err != nil || v.asked.Load()-before != 2 {
		t.Errorf("after some minutes: %v, asked %d times", err, v.asked.Load()-before)
	}
	for range 8 {
		l.remember(string(rune('a'+len(l.kept))), make([]byte, evidence.MaxStatusToken))
	}
	if len(l.kept) > 2 {
		t.Errorf("%d lists are kept", len(l.kept))
	}
}
