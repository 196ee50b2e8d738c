package proof

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

var (
	withDocument = strict(1, []string{MethodDigitalCredential, MethodPasskey})
	documentOnly = strict(1, []string{MethodDigitalCredential})
	byPasskey    = strict(1, []string{MethodPasskey})
	bySignIn     = strict(1, []string{MethodIdentityProvider, MethodAgentCode})
	byTwo        = strict(2, []string{MethodApproval})
)

func TestEveryKindOfEvidenceThatTheAgentCanCheckProves(t *testing.T) {
	w, c := newWorld(t), newContext()
	for name, k := range map[string]Case{
		"mdoc and passkey":  w.kimsCase(c, withDocument, w.showMDoc(origin, c), assertion(w.passkey, c)),
		"SD-JWT, passkey":   w.kimsCase(c, withDocument, w.showSDJWT(origin, c), assertion(w.passkey, c)),
		"passkey":           w.kimsCase(c, byPasskey, assertion(w.passkey, c)),
		"two approvers":     w.kimsCase(c, byTwo, approve(w.boss, c, "boss-phone"), approve(w.hr, c, "hr")),
		"provider and code": func() Case { k := w.kimsCase(c, bySignIn, w.signIn(c, nil)); k.AgentCode = true; return k }(),
		"not strict":        w.kimsCase(c, Terms{}, assertion(w.passkey, c)),
	} {
		t.Run(name, func(t *testing.T) {
			v, err := w.checker.Check(k)
			if err != nil || len(v.Refused) > 0 {
				t.Errorf("%v, refused %v", err, v.Refused)
			}
		})
	}
}

// Nothing that a hub says or sends in the place of proof is proof (T5).
func TestT05_TheHubsWordProvesNothing(t *testing.T) {
	w, c := newWorld(t), newContext()
	var pieces []protocol.Evidence
	for _, kind := range []string{evidence.TypeMailCode, evidence.TypeSMSCode, evidence.TypeTOTP, evidence.TypeSavedCode, evidence.TypeReview, evidence.TypeManual,
		evidence.TypeAgentCode, evidence.TypePasskey, evidence.TypeMDoc, evidence.TypeSDJWT, evidence.TypeIDToken, evidence.TypeApproval, "hub_says_so", ""} {
		for _, raw := range []string{"", "true", `{}`, `{"ok":true}`} {
			pieces = append(pieces, protocol.Evidence{Type: kind, Raw: []byte(raw)})
		}
	}
	v, err := w.checker.Check(w.kimsCase(c, Terms{}.Verifiable(), pieces...))
	if err == nil || len(v.Proven) > 0 {
		t.Errorf("proven %v, %v", v.Proven, err)
	}
}

// refusedFor checks that pieces prove nothing for the reason that is wanted.
func refusedFor(t *testing.T, w *world, k Case, want string) {
	t.Helper()
	v, err := w.checker.Check(k)
	if err == nil {
		t.Fatalf("accepted: %v", v.Proven)
	}
	if text := strings.Join(v.Refused, "; ") + "; " + err.Error(); !strings.Contains(text, want) {
		t.Errorf("refused for %q, want %q", text, want)
	}
}

func TestT14_EvidenceOfAnotherRecoveryProvesNothing(t *testing.T) {
	w, c, other := newWorld(t), newContext(), newContext()
	for name, k := range map[string]Case{
		"mdoc":     w.kimsCase(c, documentOnly, w.showMDoc(origin, other)),
		"sdjwt":    w.kimsCase(c, documentOnly, w.showSDJWT(origin, other)),
		"passkey":  w.kimsCase(c, byPasskey, assertion(w.passkey, other)),
		"approval": w.kimsCase(c, strict(1, []string{MethodApproval}), approve(w.boss, other, "boss-phone")),
		"id_token": w.kimsCase(c, strict(1, []string{MethodIdentityProvider}), w.signIn(other, nil)),
	} {
		t.Run(name, func(t *testing.T) {
			w.owners[w.authority.Documents.Certificate.Issuer.String()+"|D-1"] = kim // so that it is not the tie that is missing
			refusedFor(t, w, k, "needs evidence")
		})
	}
}

// The same person, document and context at a look-alike site (T2).
func TestT02_EvidenceCollectedByALookAlikeSiteProvesNothing(t *testing.T) {
	w, c := newWorld(t), newContext()
	far := *w.passkey
	far.Origin = lookLike
	relabelled := w.showMDoc(lookLike, c) // the hub writes the right origin over it
	relabelled.Raw = []byte(strings.Replace(string(relabelled.Raw), lookLike, origin, 1))
	credential := w.showSDJWT(lookLike, c)
	credential.Raw = []byte(strings.Replace(string(credential.Raw), lookLike, origin, 1))
	unseen := *w.passkey
	unseen.Flags = evidencetest.Present // nobody was verified
	for name, k := range map[string]Case{
		"mdoc":             w.kimsCase(c, documentOnly, w.showMDoc(lookLike, c)),
		"mdoc, relabelled": w.kimsCase(c, documentOnly, relabelled),
		"sdjwt":            w.kimsCase(c, documentOnly, w.showSDJWT(lookLike, c)),
		"relabelled":       w.kimsCase(c, documentOnly, credential),
		"passkey":          w.kimsCase(c, byPasskey, assertion(&far, c)),
		"unverified":       w.kimsCase(c, byPasskey, assertion(&unseen, c)),
		"audience":         w.kimsCase(c, bySignIn, w.signIn(c, jwt.MapClaims{"aud": "payroll"})),
		"azp":              w.kimsCase(c, bySignIn, w.signIn(c, jwt.MapClaims{"azp": "payroll"})),
		"issuer":           w.kimsCase(c, bySignIn, w.signIn(c, jwt.MapClaims{"iss": "https://id.example.com"})),
	} {
		t.Run(name, func(t *testing.T) { refusedFor(t, w, k, "needs evidence") })
	}
}

func TestT03_KeysThatTheHubMadeProveNothing(t *testing.T) {
	w, c := newWorld(t), newContext()
	thiefs := evidencetest.NewAuthenticator(origin)
	named := *thiefs
	named.ID = w.passkey.ID // says to be Kim's
	boss := *thiefs
	boss.ID = w.boss.ID
	k := w.kimsCase(c, byPasskey, assertion(thiefs, c), assertion(&named, c), assertion(w.boss, c))
	refusedFor(t, w, k, errNobody.Error())
	approvals := w.kimsCase(c, strict(1, []string{MethodApproval}), approve(thiefs, c, "boss-phone"), approve(&boss, c, "boss-phone"), approve(thiefs, c, "thief"),
		approve(w.boss, c, "hr"), assertion(w.boss, c))
	refusedFor(t, w, approvals, "needs evidence")
	waiting := w.kimsCase(c, byPasskey, assertion(w.passkey, c))
	waiting.Keys = nil // enrolled, and not 72 hours ago
	refusedFor(t, w, waiting, errNobody.Error())
}

func TestT07_ApproversAreCountedAsPersonsWithoutTheSubject(t *testing.T) {
	w, c := newWorld(t), newContext()
	second := evidencetest.NewAuthenticator(origin)
	both := func(pieces ...protocol.Evidence) Case {
		k := w.kimsCase(c, byTwo, pieces...)
		k.Approvers = append(k.Approvers, Approver{"boss-laptop", "ID-Boss", second.Credential()})
		return k
	}
	refusedFor(t, w, both(approve(w.boss, c, "boss-phone"), approve(second, c, "boss-laptop")), errTwice.Error())
	refusedFor(t, w, both(approve(w.boss, c, "boss-phone"), approve(w.boss, c, "boss-phone")), errTwice.Error())
	refusedFor(t, w, both(approve(w.boss, c, "boss-phone"), approve(w.passkey, c, "kim-herself")), errSubject.Error())
	plain := protocol.Evidence{Type: evidence.TypeApproval, Raw: w.hr.Assert(c)} // signed over the context itself: it names nobody
	refusedFor(t, w, both(approve(w.boss, c, "boss-phone"), plain), "needs evidence")
	if _, err := w.checker.Check(both(approve(w.boss, c, "boss-phone"), approve(w.hr, c, "hr"))); err != nil {
		t.Errorf("two persons: %v", err)
	}
}

// A namesake with a real document (T15).
func TestT15_ANameAloneNeverIdentifies(t *testing.T) {
	w, c := newWorld(t), newContext()
	shown := w.showMDoc(origin, c)
	refusedFor(t, w, w.kimsCase(c, documentOnly, shown), "a name alone never identifies")
	k := w.kimsCase(c, documentOnly, shown)
	k.AgentCode = true
	v, err := w.checker.Check(k)
	if err != nil || len(v.New) != 1 || v.New[0].Number != "D-1" {
		t.Fatalf("with the agent's code: %v, new %+v", err, v.New)
	}
	w.owners[v.New[0].Issuer+"|D-1"] = kim
	if v, err := w.checker.Check(w.kimsCase(c, documentOnly, shown)); err != nil || len(v.New) > 0 {
		t.Errorf("a document that is tied to the account: %v, new %+v", err, v.New)
	}
	w.owners[v.New[0].Issuer+"|D-1"] = "id-lee"
	k = w.kimsCase(c, documentOnly, shown)
	k.AgentCode = true
	refusedFor(t, w, k, errOther.Error())
}

func TestT15_NameAndBirthDateAreTheDirectorysOwn(t *testing.T) {
	w, c := newWorld(t), newContext()
	with := func(change func(*Case)) Case {
		k := w.kimsCase(c, documentOnly, w.showMDoc(origin, c), w.showSDJWT(origin, c))
		k.AgentCode = true
		change(&k)
		return k
	}
	if _, err := w.checker.Check(with(func(*Case) {})); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Case)
		want   error
	}{
		"another name":       {func(k *Case) { k.Person.Family = "Hayashi" }, errMismatch},
		"similar name":       {func(k *Case) { k.Person.Family = "Hatanno" }, errMismatch},
		"another birth date": {func(k *Case) { k.Person.BirthDate = "1988-02-28" }, errMismatch},
		"no birth date":      {func(k *Case) { k.Person.BirthDate = "" }, errNoPerson},                                     // or one younger than 72 hours (T16)
		"no name":            {func(k *Case) { k.Person.Name, k.Person.Given, k.Person.Family = "", "", "" }, errNoPerson}, // the same
	} {
		t.Run(name, func(t *testing.T) { refusedFor(t, w, with(c.change), c.want.Error()) })
	}
	w.issue(evidencetest.Person{Family: "Hatano", Given: "Kim", BirthDate: "1988-02-29", Expires: "2040-01-01"})
	refusedFor(t, w, with(func(k *Case) { k.Evidence = []protocol.Evidence{w.showSDJWT(origin, c)} }), errNoNumber.Error())
}

func TestIssuersThatTheFileDoesNotNameProveNothing(t *testing.T) {
	w, c := newWorld(t), newContext()
	far := newWorld(t)
	k := w.kimsCase(c, withDocument, far.showMDoc(origin, c), far.showSDJWT(origin, c), far.signIn(c, nil), assertion(w.passkey, c))
	refusedFor(t, w, k, evidence.ErrUntrusted.Error())
	empty, err := Open(Settings{Origins: []string{origin}})
	if err != nil {
		t.Fatal(err)
	}
	w.checker = empty
	refusedFor(t, w, w.kimsCase(c, withDocument, w.showMDoc(origin, c), w.showSDJWT(origin, c), assertion(w.passkey, c)), evidence.ErrUntrusted.Error())
}

// One bit at every byte of a mobile document, one character at every place of a
// credential: none is accepted.
func TestT02_NoFlippedBitIsAccepted(t *testing.T) {
	w, c := newWorld(t), newContext()
	w.owners[w.authority.Documents.Certificate.Issuer.String()+"|D-1"] = kim
	accepted := func(kind string, p evidence.Presentation) bool {
		_, err := w.checker.Check(w.kimsCase(c, documentOnly, w.piece(kind, p)))
		return err == nil
	}
	for kind, shown := range map[string]protocol.Evidence{evidence.TypeMDoc: w.showMDoc(origin, c), evidence.TypeSDJWT: w.showSDJWT(origin, c)} {
		p := presentationOf(t, shown)
		if !accepted(kind, p) {
			t.Fatalf("%s: not accepted as it is", kind)
		}
		n := 0
		for i := range p.Response {
			q := p
			q.Response = slices.Clone(p.Response)
			q.Response[i] ^= 1 << (i % 8)
			if accepted(kind, q) {
				t.Errorf("%s: accepted with a flipped bit at byte %d", kind, i)
			}
			n++
		}
		t.Logf("%s: %d bytes, none accepted", kind, n)
	}
}

func TestStaleEvidenceIsRefusedByTheAgentsClock(t *testing.T) {
	w, c := newWorld(t), newContext()
	shown := w.showSDJWT(origin, c)
	k := w.kimsCase(c, withDocument, shown, assertion(w.passkey, c))
	k.Begun, k.Now = w.now.Add(2*time.Hour), w.now.Add(2*time.Hour) // older than the recovery
	refusedFor(t, w, k, evidence.ErrExpired.Error())
	k.Now = w.now.Add(30 * 365 * 24 * time.Hour)
	refusedFor(t, w, k, "expired")
}

func TestAVICALWithAPinnedRootNamesIssuers(t *testing.T) {
	w, c := newWorld(t), newContext()
	list, err := w.authority.VICAL(w.now, []string{evidencetest.DocType}, w.authority)
	if err != nil {
		t.Fatal(err)
	}
	far, err := evidencetest.NewAuthority("UT", "Another provider", w.now)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{"vical.cbor": list, "root.pem": w.authority.PEM(), "far.pem": far.PEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := Settings{Origins: []string{origin}, VICAL: []VICAL{{filepath.Join(dir, "vical.cbor"), filepath.Join(dir, "far.pem")}}}
	if _, err := Open(s); err == nil || !strings.Contains(err.Error(), "evidence.vical") {
		t.Errorf("signed by another provider: %v", err)
	}
	s.VICAL[0].Root = filepath.Join(dir, "root.pem")
	if w.checker, err = Open(s); err != nil {
		t.Fatal(err)
	}
	if _, err := w.checker.Check(w.kimsCase(c, withDocument, w.showMDoc(origin, c), assertion(w.passkey, c))); err != nil {
		t.Error(err)
	}
}

func TestBrokenAnchorsKeepTheAgentFromStarting(t *testing.T) {
	bad := t.TempDir() + "/missing"
	for name, s := range map[string]Settings{
		"trust":    {Trust: []string{bad}},
		"provider": {Providers: []Provider{{Issuer: issuer, ClientID: client, KeysFile: bad}}},
	} {
		if _, err := Open(s); err == nil || !strings.Contains(err.Error(), "evidence."+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func presentationOf(t *testing.T, e protocol.Evidence) (p evidence.Presentation) {
	t.Helper()
	if err := json.Unmarshal(e.Raw, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func FuzzCheck(f *testing.F) {
	w := newWorld(f)
	c := newContext()
	for _, e := range []protocol.Evidence{w.showMDoc(origin, newContext()), w.showSDJWT(origin, newContext()), assertion(w.passkey, newContext()), approve(w.boss, newContext(), "boss-phone"), w.signIn(newContext(), nil)} {
		f.Add(e.Type, e.Raw)
	}
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		w.owners[w.authority.Documents.Certificate.Issuer.String()+"|D-1"] = kim
		v, err := w.checker.Check(w.kimsCase(c, Terms{}.Verifiable(), protocol.Evidence{Type: kind, Raw: raw}))
		if err == nil {
			t.Fatalf("%v proved %v in a context that nobody signed for", kind, v.Proven)
		}
	})
}
