package evidence_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

const site = "https://recover.example.com"

func anchors(origins ...string) evidence.Anchors { return evidence.Anchors{Origins: origins} }

func TestPasskeysOfEveryAlgorithmAreRegisteredAndAccepted(t *testing.T) {
	challenge := [32]byte{1, 2, 3}
	for name, a := range map[string]*evidencetest.Authenticator{
		"ES256": evidencetest.NewAuthenticator(site), "EdDSA": evidencetest.NewEd25519(site), "RS256": evidencetest.NewRSA(site),
		"port": evidencetest.NewAuthenticator("https://recover.example.com:8443"), "localhost": evidencetest.NewAuthenticator("http://localhost:8080"),
	} {
		r, err := evidence.CheckRegistration(a.Register(challenge), challenge, a.RPID, anchors(a.Origin))
		if err != nil {
			t.Fatalf("%s: registration: %v", name, err)
		}
		if r.Hash() != a.Credential().Hash() {
			t.Errorf("%s: another credential was registered", name)
		}
		if err := evidence.CheckPasskey(a.Assert(challenge), r.Credential, challenge, anchors("https://other.example", a.Origin)); err != nil {
			t.Errorf("%s: assertion: %v", name, err)
		}
		if err := evidence.CheckPasskey(a.Assert(challenge), evidencetest.NewAuthenticator(site).Credential(), challenge, anchors(a.Origin)); err == nil {
			t.Errorf("%s: accepted for another credential", name)
		}
	}
}

// What an assertion must not get away with: one row per sentence of the specification.
var wrong = map[string]struct {
	change func(a *evidencetest.Authenticator)
	want   error
}{
	"person not verified":     {func(a *evidencetest.Authenticator) { a.Flags = evidencetest.Present }, evidence.ErrNotVerified},
	"person not present":      {func(a *evidencetest.Authenticator) { a.Flags = evidencetest.Verified }, evidence.ErrNotVerified},
	"look-alike site":         {func(a *evidencetest.Authenticator) { a.Origin = "https://recover.examp1e.com" }, evidence.ErrContext},
	"subdomain":               {func(a *evidencetest.Authenticator) { a.Origin = "https://x.recover.example.com" }, evidence.ErrContext},
	"parent as RP id":         {func(a *evidencetest.Authenticator) { a.RPID = "example.com" }, evidence.ErrContext},
	"another port":            {func(a *evidencetest.Authenticator) { a.Origin = site + ":8443" }, evidence.ErrContext},
	"in clear":                {func(a *evidencetest.Authenticator) { a.Origin = "http://recover.example.com" }, evidence.ErrContext},
	"sign-in of another host": {func(a *evidencetest.Authenticator) { a.RPID = "id.example.com"; a.Origin = "https://id.example.com" }, evidence.ErrContext},
	"in a frame":              {func(a *evidencetest.Authenticator) { a.ClientData = map[string]any{"crossOrigin": true} }, evidence.ErrContext},
	"below a top origin":      {func(a *evidencetest.Authenticator) { a.ClientData = map[string]any{"topOrigin": "https://x.example"} }, evidence.ErrContext},
	"another challenge":       {func(a *evidencetest.Authenticator) { a.ClientData = map[string]any{"challenge": "AAAA"} }, evidence.ErrContext},
	"no challenge":            {func(a *evidencetest.Authenticator) { a.ClientData = map[string]any{"challenge": nil} }, evidence.ErrContext},
	"challenge in other case": {func(a *evidencetest.Authenticator) {
		a.ClientData = map[string]any{"challenge": nil, "Challenge": strings.Repeat("A", 43)}
	}, evidence.ErrContext},
	"a registration":           {func(a *evidencetest.Authenticator) { a.ClientData = map[string]any{"type": "webauthn.create"} }, evidence.ErrContext},
	"a payment":                {func(a *evidencetest.Authenticator) { a.ClientData = map[string]any{"type": "payment.get"} }, evidence.ErrContext},
	"bytes after the data":     {func(a *evidencetest.Authenticator) { a.Tail = []byte{0xa0} }, evidence.ErrFormat},
	"extensions that are none": {func(a *evidencetest.Authenticator) { a.Flags |= evidencetest.Extensions; a.Tail = []byte{0xff} }, evidence.ErrFormat},
	"a new credential in it":   {func(a *evidencetest.Authenticator) { a.Flags |= evidencetest.Attested }, evidence.ErrFormat},
	"backed up, not eligible":  {func(a *evidencetest.Authenticator) { a.Flags |= evidencetest.BackedUp }, evidence.ErrFormat},
	"another credential id":    {func(a *evidencetest.Authenticator) { a.ID = []byte("another") }, evidence.ErrUntrusted},
}

func TestT02_AnAssertionCountsOnlyAtTheListedOriginAndWithTheVerifiedPerson(t *testing.T) {
	for name, row := range wrong {
		a := evidencetest.NewAuthenticator(site)
		cred := a.Credential()
		row.change(a)
		if err := evidence.CheckPasskey(a.Assert([32]byte{}), cred, [32]byte{}, anchors(site)); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
	}
	a := evidencetest.NewAuthenticator(site)
	for name, list := range map[string][]string{"none": nil, "others": {"https://other.example"}, "prefix": {site + "/"}, "host": {"recover.example.com"}} {
		if err := evidence.CheckPasskey(a.Assert([32]byte{}), a.Credential(), [32]byte{}, anchors(list...)); !errors.Is(err, evidence.ErrContext) {
			t.Errorf("origins %s: %v", name, err)
		}
	}
	related := evidencetest.NewAuthenticator("https://related.example")
	related.RPID = "recover.example.com"
	if err := evidence.CheckPasskey(related.Assert([32]byte{}), related.Credential(), [32]byte{}, anchors(site, "https://related.example")); !errors.Is(err, evidence.ErrContext) {
		t.Errorf("a related origin: %v", err)
	}
}

func TestRegistrationsAreHeldToTheSameRules(t *testing.T) {
	for name, change := range map[string]func(a *evidencetest.Authenticator){
		"person not verified": func(a *evidencetest.Authenticator) { a.Flags = evidencetest.Present },
		"look-alike":          func(a *evidencetest.Authenticator) { a.Origin = "https://recover.examp1e.com" },
		"parent as RP id":     func(a *evidencetest.Authenticator) { a.RPID = "example.com" },
		"an assertion":        func(a *evidencetest.Authenticator) { a.ClientData = map[string]any{"type": "webauthn.get"} },
		"bytes after the key": func(a *evidencetest.Authenticator) { a.Tail = []byte{0} },
		"no id":               func(a *evidencetest.Authenticator) { a.ID = nil },
	} {
		a := evidencetest.NewAuthenticator(site)
		change(a)
		if _, err := evidence.CheckRegistration(a.Register([32]byte{}), [32]byte{}, "recover.example.com", anchors(site)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// No bit of what is signed, nor of the signature, may be another one.
func TestT02_NoMutatedAssertionIsAccepted(t *testing.T) {
	a := evidencetest.NewEd25519(site) // a deterministic signature that is not malleable
	challenge := [32]byte{9}
	var s evidence.Assertion
	if err := json.Unmarshal(a.Assert(challenge), &s); err != nil {
		t.Fatal(err)
	}
	accepted, tried := 0, 0
	for _, part := range []*[]byte{&s.Credential, &s.AuthenticatorData, &s.ClientData, &s.Signature} {
		original := bytes.Clone(*part)
		for i := range original {
			for bit := range 8 {
				*part = bytes.Clone(original)
				(*part)[i] ^= 1 << bit
				raw, _ := json.Marshal(s)
				if tried++; evidence.CheckPasskey(raw, a.Credential(), challenge, anchors(site)) == nil {
					accepted++
				}
			}
		}
		*part = original
	}
	if accepted > 0 || tried < 2000 {
		t.Errorf("%d of %d mutants are accepted", accepted, tried)
	}
}

func TestT03_TheHashOfACredentialIsOfEveryPartOfIt(t *testing.T) {
	c := evidence.Credential{ID: []byte{1, 2}, PublicKey: []byte{3}, RPID: "recover.example.com"}
	h := c.Hash()
	// Golden: agents keep this hash and approvers compare it.
	if got, want := hex.EncodeToString(h[:]), "91b3ce8b7a1eb24f9d67e4aeede56453b3d4357ad06820faae36ebb056ecc45c"; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	for name, other := range map[string]evidence.Credential{
		"moved byte": {ID: []byte{1}, PublicKey: []byte{2, 3}, RPID: c.RPID}, "other host": {ID: c.ID, PublicKey: c.PublicKey, RPID: "x"}, "no key": {ID: c.ID, RPID: c.RPID},
	} {
		if other.Hash() == h {
			t.Errorf("%s: the same hash", name)
		}
	}
}

func TestT07_AnApprovalIsForOneContextOneApproverAndOneKey(t *testing.T) {
	ann, bob := evidencetest.NewAuthenticator(site), evidencetest.NewAuthenticator(site)
	keys := func(approver string, id []byte) (evidence.Credential, bool) {
		for name, a := range map[string]*evidencetest.Authenticator{"ann": ann, "bob": bob} {
			if name == approver && bytes.Equal(id, a.ID) {
				return a.Credential(), true
			}
		}
		return evidence.Credential{}, false
	}
	c, other := protocol.Context{1}, protocol.Context{2}
	check := func(raw []byte, c protocol.Context) (string, error) {
		return evidence.CheckApproval(raw, c, anchors(site), keys)
	}
	if who, err := check(ann.Approve(c, "ann"), c); who != "ann" || err != nil {
		t.Fatalf("%q %v", who, err)
	}
	if _, err := check(ann.Approve(c, "ann"), other); !errors.Is(err, evidence.ErrContext) {
		t.Errorf("for another context: %v", err)
	}
	if _, err := check(ann.Approve(c, "bob"), c); err == nil {
		t.Error("ann signs as bob")
	}
	if _, err := check(bytes.Replace(ann.Approve(c, "ann"), []byte(`"approver":"ann"`), []byte(`"approver":"bob"`), 1), c); err == nil {
		t.Error("renamed afterwards")
	}
	if _, err := check(ann.Assert(c), c); err == nil {
		t.Error("a sign-in is taken for an approval")
	}
	if err := evidence.CheckPasskey(ann.Approve(c, "ann"), ann.Credential(), evidence.ApprovalChallenge(c, "ann"), anchors(site)); err == nil {
		t.Error("an approval is taken for the person's own passkey")
	}
}

func TestAssertionsAreBounded(t *testing.T) {
	a := evidencetest.NewAuthenticator(site)
	raw := a.Assert([32]byte{})
	for name, bad := range map[string][]byte{
		"empty": nil, "null": []byte("null"), "array": []byte("[]"), "more after it": append(bytes.Clone(raw), '1'),
		"unknown member": bytes.Replace(raw, []byte(`{`), []byte(`{"x":1,`), 1), "huge": bytes.Replace(raw, []byte(`{`), append([]byte(`{`), bytes.Repeat([]byte(" "), 32<<10)...), 1),
	} {
		if err := evidence.CheckPasskey(bad, a.Credential(), [32]byte{}, anchors(site)); !errors.Is(err, evidence.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWeakAndStrangeKeysAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "a number": "01", "P-256 off the curve": "a50102032620012158200000000000000000000000000000000000000000000000000000000000000001225820" + strings.Repeat("00", 31) + "01",
		"short coordinate":         "a501020326200121410122410" + "1",
		"RSA of 512 bits":          "a4010303390100205840" + strings.Repeat("ff", 64) + "2143010001",
		"doubled label":            "a2" + "0102" + "0102",
		"Ed25519 of a wrong size":  "a40101032720062141" + "01",
		"an HMAC key":              "a20104" + "0305",
		"a curve that is a string": "a4010103272041062158" + "20" + strings.Repeat("00", 32),
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(name, err)
		}
		a := evidencetest.NewAuthenticator(site)
		cred := a.Credential()
		cred.PublicKey = b
		if err := evidence.CheckPasskey(a.Assert([32]byte{}), cred, [32]byte{}, anchors(site)); !errors.Is(err, evidence.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCheckPasskey(f *testing.F) {
	a := evidencetest.NewAuthenticator(site)
	f.Add(a.Assert([32]byte{}))
	f.Add(a.Assert([32]byte{1}))
	f.Add(a.Approve(protocol.Context{}, "ann"))
	other := evidencetest.NewAuthenticator(site).Credential()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if evidence.CheckPasskey(raw, other, [32]byte{}, anchors(site)) == nil {
			t.Fatal("accepted for a key that never signed")
		}
	})
}

func FuzzCheckRegistration(f *testing.F) {
	a := evidencetest.NewAuthenticator(site)
	f.Add(a.Register([32]byte{}))
	f.Add(evidencetest.NewRSA(site).Register([32]byte{}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := evidence.CheckRegistration(raw, [32]byte{}, "recover.example.com", anchors(site))
		if err == nil && (r.RPID != "recover.example.com" || len(r.ID) == 0 || len(r.PublicKey) == 0) {
			t.Fatalf("%+v", r)
		}
	})
}

// The CBOR of authenticators without the JSON around it.
func FuzzAttestation(f *testing.F) {
	a := evidencetest.NewAuthenticator(site)
	var r evidence.Registration
	if err := json.Unmarshal(a.Register([32]byte{}), &r); err != nil {
		f.Fatal(err)
	}
	f.Add(r.Attestation)
	f.Fuzz(func(t *testing.T, object []byte) {
		raw, _ := json.Marshal(evidence.Registration{ClientData: r.ClientData, Attestation: object})
		if got, err := evidence.CheckRegistration(raw, [32]byte{}, a.RPID, anchors(site)); err == nil && len(got.PublicKey) > 1024 {
			t.Fatalf("a key of %d bytes", len(got.PublicKey))
		}
	})
}
