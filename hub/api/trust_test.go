package api

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

func newAuthority(t *testing.T) *evidencetest.Authority {
	t.Helper()
	a, err := evidencetest.NewAuthority("XX", "Demo authority", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// signerOf is a certificate for a host with its key, as an operator has it.
func signerOf(t *testing.T, host string) string {
	t.Helper()
	s, err := evidencetest.RelyingParty(host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate.Raw})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

func TestOnlyListsOfAuthoritiesAreImported(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	path := "/api/envs/" + st.mine.Env.ID + "/trust"
	provider, other := newAuthority(t), newAuthority(t)
	list, err := provider.VICAL(time.Now(), []string{evidencetest.DocType}, other)
	if err != nil {
		t.Fatal(err)
	}
	vical, root := base64.StdEncoding.EncodeToString(list), strconv.Quote(string(provider.PEM()))
	got := st.do(t, st.owner, "POST", path, `{"name":"list","vical":"`+vical+`","root":`+root+`}`)
	if got.status != http.StatusCreated || !strings.Contains(got.body, "CN=Demo authority,C=XX") || !strings.Contains(got.body, evidencetest.DocType) {
		t.Errorf("a signed list: %d %s", got.status, got.body)
	}
	for name, body := range map[string]string{
		"nothing":          `{"name":"n"}`,
		"no name":          `{"pem":` + root + `}`,
		"both":             `{"name":"n","pem":` + root + `,"vical":"` + vical + `","root":` + root + `}`,
		"no provider":      `{"name":"n","vical":"` + vical + `"}`,
		"another provider": `{"name":"n","vical":"` + vical + `","root":` + strconv.Quote(string(other.PEM())) + `}`,
		"no authority":     `{"name":"n","pem":` + strconv.Quote(signerOf(t, "x.test")) + `}`,
		"text":             `{"name":"n","pem":"trust me"}`,
		"kinds of a list":  `{"name":"n","vical":"` + vical + `","root":` + root + `,"doc_types":["x"]}`,
	} {
		if got := st.do(t, st.owner, "POST", path, body); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

func TestACertificateForWalletsMustBearTheDomain(t *testing.T) {
	st := start(t, storetest.Open(t, storetest.SQLite(t)))
	path := "/api/envs/" + st.mine.Env.ID + "/domains/" + st.mine.domain + "/wallet-certificate"
	good, foreign := signerOf(t, st.mine.domain), signerOf(t, "recover.example.org")
	half := good[:strings.Index(good, "-----BEGIN PRIVATE")] + foreign[strings.Index(foreign, "-----BEGIN PRIVATE"):]
	for name, body := range map[string]string{"another host": foreign, "another key": half, "no key": half[:strings.Index(half, "-----BEGIN PRIVATE")], "nothing": ""} {
		if got := st.do(t, st.owner, "POST", path, `{"pem":`+strconv.Quote(body)+`}`); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if got := st.do(t, st.owner, "POST", path, `{"pem":`+strconv.Quote(good)+`}`); got.status != http.StatusNoContent {
		t.Fatalf("%d %s", got.status, got.body)
	}
	w, err := store.Get(t.Context(), st.store, func(tx *store.Tx) (store.WalletSigner, error) {
		return tx.WalletSigner(t.Context(), st.mine.Env.ID, st.mine.domain)
	})
	if err != nil || !w.Given || !strings.HasPrefix(good, string(w.Chain)) {
		t.Errorf("%+v %v", w, err)
	}
}
