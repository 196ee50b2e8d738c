package wallet_test

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// revocations is a status list that a real HTTPS server gives out, and a stage whose hub
// reaches it by the client that it has for services outside.
type revocations struct {
	*stage
	server *httptest.Server
	by     *evidencetest.Authority // who signs the list
	cwt    bool
	value  byte // of the entry
	index  int  // of the entry
	status int  // of the answers
	ttl    time.Duration
	asked  atomic.Int32
}

// inside is where the test's server listens; the operator of these tests allows it.
const inside = "127.0.0.1/32"

func newRevocations(t *testing.T, allowed ...string) *revocations {
	t.Helper()
	v := &revocations{stage: newStage(t).trust(), index: 1, status: http.StatusOK, ttl: time.Hour}
	v.by = v.authority
	v.server = httptest.NewTLSServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(v.server.Certificate())
	var private []netip.Prefix
	for _, a := range allowed {
		private = append(private, netip.MustParsePrefix(a))
	}
	hooks, err := webhook.New(webhook.Config{Store: v.store, Private: private, Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	v.verifier = wallet.New(wallet.Config{Store: v.store, Now: func() time.Time { return v.now }, Client: hooks.Client()})
	return v
}

func (v *revocations) serve(w http.ResponseWriter, r *http.Request) {
	v.asked.Add(1)
	if r.URL.Path == "/moved" {
		http.Redirect(w, r, "/list", http.StatusFound)
		return
	}
	l := evidencetest.StatusList{URI: v.server.URL + r.URL.Path, Issued: v.now, TTL: v.ttl, Bits: 2, Values: append(make([]byte, v.index), v.value)}
	text, err := v.by.Credentials.StatusJWT(l)
	token := []byte(text)
	if v.cwt && err == nil {
		token, err = v.by.Credentials.StatusCWT(l)
	}
	if err != nil || !strings.Contains(r.Header.Get("Accept"), "statuslist+jwt") {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(v.status)
	if r.URL.Path == "/endless" {
		token = append(token, make([]byte, 2<<20)...)
	}
	_, _ = w.Write(token)
}

// holds puts a document into the person's wallet that names a list; "": none.
func (v *revocations) holds(address string) {
	v.Helper()
	plain := map[string]any{}
	if address != "" {
		plain["status"] = map[string]any{"status_list": map[string]any{"uri": address, "idx": v.index}}
	}
	c, err := v.authority.IssueClaims(map[string]any{
		"family_name": "Müller", "given_name": "Jürgen", "birthdate": "1980-02-29", "document_number": "D1234567", "issuing_country": "XX", "date_of_expiry": "2099-01-01",
	}, plain, v.now)
	if err != nil {
		v.Fatal(err)
	}
	v.wallet.SDJWT = c
}

func (v *revocations) sets(mode string, hosts ...string) {
	v.Helper()
	s := store.CredentialStatus{Mode: mode, Hosts: hosts}
	err := errors.Join(wallet.CheckStatusSettings(s), v.store.Tx(v.Context(), func(tx *store.Tx) error { return tx.SetCredentialStatus(v.Context(), v.env, s) }))
	if err != nil {
		v.Fatal(err)
	}
}

func (v *revocations) shows() verify.Verdict {
	v.Helper()
	s := v.subject(1)
	a := v.open(s)
	return v.check(s, a.challenge, v.browser(a, 0, origin, "pid"))
}

func (v *revocations) host() string { return strings.TrimPrefix(v.server.URL, "https://") }

func TestARevokedDocumentCountsAsTheEnvironmentSays(t *testing.T) {
	v := newRevocations(t, inside)
	foreign, err := evidencetest.NewAuthority("XX", "Another authority", v.now)
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct{ right, unread bool }
	yes, no, unread := outcome{true, false}, outcome{}, outcome{true, true}
	list := v.server.URL + "/list"
	for name, c := range map[string]struct {
		value           byte
		status          int
		by              *evidencetest.Authority
		address         string
		prefer, require outcome
	}{
		"valid":                     {0, 200, v.authority, list, yes, yes},
		"revoked":                   {1, 200, v.authority, list, no, no},
		"suspended":                 {2, 200, v.authority, list, no, no},
		"the host is away":          {0, 503, v.authority, list, unread, no},
		"a list of somebody else":   {1, 200, foreign, list, unread, no},
		"no list is named":          {0, 200, v.authority, "", yes, no},
		"nobody listens":            {0, 200, v.authority, "https://127.0.0.1:1/list", unread, no},
		"without encryption":        {0, 200, v.authority, strings.Replace(list, "https", "http", 1), unread, no},
		"a redirect":                {0, 200, v.authority, v.server.URL + "/moved", unread, no},
		"endless":                   {0, 200, v.authority, v.server.URL + "/endless", unread, no},
		"a network of the operator": {0, 200, v.authority, "https://127.0.0.2/list", unread, no},
		"no address":                {0, 200, v.authority, "file:///etc/passwd", unread, no},
	} {
		for _, cwt := range []bool{false, true} {
			v.value, v.status, v.by, v.cwt = c.value, c.status, c.by, cwt
			for mode, want := range map[string]outcome{evidence.StatusPrefer: c.prefer, evidence.StatusRequire: c.require, evidence.StatusIgnore: yes} {
				v.sets(mode)
				v.now = v.now.Add(time.Hour) // nothing is kept from before
				v.holds(c.address)
				got := v.shows()
				if (outcome{got.Right, got.Unread != ""}) != want {
					t.Errorf("%s, %s, cwt %v: %+v", name, mode, cwt, got)
				}
				if said := got.Reason + got.Unread; c.address != "" && strings.Contains(said, c.address) {
					t.Errorf("%s: the log says on which list the document is: %s", name, said)
				}
			}
		}
	}
}

func TestAnEnvironmentPrefersStatusListsFromTheBeginning(t *testing.T) {
	v := newRevocations(t, inside)
	v.value = 1
	v.holds(v.server.URL + "/list")
	if got := v.shows(); got.Right {
		t.Errorf("%+v", got)
	}
}

func TestStatusListsAreReadFromTheEnvironmentsHostsAlone(t *testing.T) {
	v := newRevocations(t, inside)
	v.sets(evidence.StatusRequire, "status.example.org")
	v.holds(v.server.URL + "/list")
	if got := v.shows(); got.Right || v.asked.Load() != 0 {
		t.Errorf("asked %d times, %+v", v.asked.Load(), got)
	}
	v.sets(evidence.StatusRequire, "status.example.org", v.host())
	if got := v.shows(); !got.Right || v.asked.Load() != 1 {
		t.Errorf("asked %d times, %+v", v.asked.Load(), got)
	}
}

func TestStatusListsAreNeverReadInsideTheHubsNetwork(t *testing.T) {
	v := newRevocations(t)
	v.sets(evidence.StatusRequire, v.host()) // an administrator cannot allow it either
	v.holds(v.server.URL + "/list")
	if got := v.shows(); got.Right || v.asked.Load() != 0 {
		t.Errorf("asked %d times, %+v", v.asked.Load(), got)
	}
}

func TestAStatusListIsKeptAsLongAsItSaysAndMinutesAtMost(t *testing.T) {
	v := newRevocations(t, inside)
	v.sets(evidence.StatusRequire)
	v.holds(v.server.URL + "/list")
	reads := func(why string, after time.Duration, right bool, want int32) {
		t.Helper()
		v.now = v.now.Add(after)
		if got := v.shows(); got.Right != right || v.asked.Load() != want {
			t.Errorf("%s: asked %d times, %+v", why, v.asked.Load(), got)
		}
	}
	reads("first", 0, true, 1)
	v.value = 1
	reads("kept", 4*time.Minute, true, 1)
	reads("after five minutes", 2*time.Minute, false, 2)
	v.value, v.ttl = 0, time.Minute
	reads("what is revoked is kept too", 4*time.Minute, false, 2)
	reads("after five minutes more", 2*time.Minute, true, 3)
	v.value = 1
	reads("a list that holds for a minute", 61*time.Second, false, 4)
	v.status = http.StatusServiceUnavailable
	reads("what could not be read", 10*time.Minute, false, 5)
	reads("is not kept", 0, false, 6)
}

// A list grows with what its issuer signs: one that was read before that tells nothing of it.
func TestAListThatIsOlderThanADocumentIsReadAnew(t *testing.T) {
	v := newRevocations(t, inside)
	v.sets(evidence.StatusRequire)
	v.holds(v.server.URL + "/list")
	if got := v.shows(); !got.Right || v.asked.Load() != 1 {
		t.Fatalf("asked %d times, %+v", v.asked.Load(), got)
	}
	v.index = 100
	v.holds(v.server.URL + "/list")
	for range 2 { // and is kept then
		if got := v.shows(); !got.Right || v.asked.Load() != 2 {
			t.Errorf("asked %d times, %+v", v.asked.Load(), got)
		}
	}
}

func TestT25_AStatusListOfOneEnvironmentSaysNothingToAnother(t *testing.T) {
	v := newRevocations(t, inside)
	v.sets(evidence.StatusRequire)
	v.holds(v.server.URL + "/list")
	if got := v.shows(); !got.Right {
		t.Fatalf("%+v", got)
	}
	mine := v.env
	v.env = otherEnvironment(v.stage)
	v.trust()
	v.sets(evidence.StatusRequire)
	if got := v.shows(); !got.Right || v.asked.Load() != 2 {
		t.Errorf("asked %d times, %+v", v.asked.Load(), got)
	}
	v.env = mine
	if got := v.shows(); !got.Right || v.asked.Load() != 2 {
		t.Errorf("asked %d times, %+v", v.asked.Load(), got)
	}
}

func otherEnvironment(st *stage) string {
	st.Helper()
	return storetest.Seed(st.T, st.store).Env.ID
}
