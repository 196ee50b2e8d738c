package wallet_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

const origin = "https://recover.example.com"

var _ verify.Verifier = (*wallet.Verifier)(nil)

// A stage is a hub with one environment, an authority that it trusts, and a person with
// a wallet.
type stage struct {
	*testing.T
	store     *store.Store
	env       string
	verifier  *wallet.Verifier
	authority *evidencetest.Authority
	wallet    *evidencetest.Wallet
	now       time.Time
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := storetest.Open(t, storetest.SQLite(t))
	st := &stage{T: t, store: s, env: storetest.Seed(t, s).Env.ID, now: time.Now().Truncate(time.Second)}
	st.verifier = wallet.New(wallet.Config{Store: s, Now: func() time.Time { return st.now }})
	var err error
	if st.authority, err = evidencetest.NewAuthority("XX", "Demo authority", st.now); err != nil {
		t.Fatal(err)
	}
	person := evidencetest.Person{Family: "Müller", Given: "Jürgen", BirthDate: "1980-02-29", Document: "D1234567", Expires: "2099-01-01"}
	if st.wallet, err = st.authority.NewWallet(person, st.now); err != nil {
		t.Fatal(err)
	}
	return st
}

func (st *stage) trust() *stage {
	st.Helper()
	err := st.store.Tx(st.Context(), func(tx *store.Tx) error {
		return tx.AddTrustSource(st.Context(), &store.TrustSource{Env: st.env, Kind: store.TrustPEM, Name: "demo", Body: st.authority.PEM()})
	})
	if err != nil {
		st.Fatal(err)
	}
	return st
}

func (st *stage) subject(n byte) verify.Subject {
	return verify.Subject{
		Env: st.env, Verification: "v" + string('0'+rune(n)), Context: protocol.Context{n, 1, 2}, Origin: origin, RPID: "recover.example.com",
		Until: st.now.Add(15 * time.Minute), Strength: policy.NameAndBirthDate,
	}
}

// An asking is one open challenge as the page's script sees it.
type asking struct {
	Digital []struct {
		Protocol string          `json:"protocol"`
		Data     json.RawMessage `json:"data"`
	} `json:"digital"`
	Link string `json:"link"`

	challenge string
}

func (st *stage) open(s verify.Subject) asking {
	st.Helper()
	c, err := st.verifier.Open(st.Context(), s)
	if err != nil {
		st.Fatal(err)
	}
	a := asking{challenge: c.Text}
	if err := json.Unmarshal(c.Ask, &a); err != nil {
		st.Fatal(err)
	}
	if len(a.Digital) != 2 || len(c.Ask) > verify.MaxAsk {
		st.Fatalf("asked %s", c.Ask)
	}
	return a
}

// browser answers one of the requests as a browser with the wallet would.
func (st *stage) browser(a asking, i int, from, id string) string {
	st.Helper()
	data, err := st.wallet.AnswerBrowser(a.Digital[i].Protocol, a.Digital[i].Data, from, id, st.now)
	if err != nil {
		st.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"protocol": a.Digital[i].Protocol, "data": data})
	if err != nil {
		st.Fatal(err)
	}
	return string(b)
}

func (st *stage) check(s verify.Subject, challenge, answer string) verify.Verdict {
	st.Helper()
	v, err := st.verifier.Check(st.Context(), s, challenge, answer)
	if err != nil {
		st.Fatal(err)
	}
	if v.Right != (v.Claims != nil) || v.Right != (len(v.Evidence) == 1) || v.Right != (v.Reason == "") {
		st.Errorf("verdict %+v", v)
	}
	return v
}

// fetch gets the signed request behind a link as a wallet does.
func (st *stage) fetch(a asking) evidencetest.Request {
	st.Helper()
	u, err := url.Parse(a.Link)
	if err != nil {
		st.Fatal(err)
	}
	q := u.Query()
	id, ok := strings.CutPrefix(q.Get("request_uri"), origin+wallet.RequestPath)
	if u.Scheme != "openid4vp" || !ok || q.Get("request_uri_method") != "post" {
		st.Fatalf("link %s", a.Link)
	}
	signed, err := st.verifier.Request(st.Context(), st.env, id, "wallet's own")
	if err != nil {
		st.Fatal(err)
	}
	r, err := evidencetest.ParseRequest(signed)
	if err != nil {
		st.Fatal(err)
	}
	if r.ClientID != q.Get("client_id") || r.WalletNonce != "wallet's own" {
		st.Errorf("client %q, wallet_nonce %q", r.ClientID, r.WalletNonce)
	}
	return r
}

// post hands a wallet's answer in and returns the response code.
func (st *stage) post(r evidencetest.Request, id string) (code string, err error) {
	st.Helper()
	jwe, err := st.wallet.AnswerPost(r, id, st.now)
	if err != nil {
		st.Fatal(err)
	}
	path, ok := strings.CutPrefix(r.ResponseURI, origin+wallet.AnswerPath)
	if !ok {
		st.Fatalf("response_uri %s", r.ResponseURI)
	}
	back, err := st.verifier.Take(st.Context(), st.env, path, jwe)
	if err != nil {
		return "", err
	}
	code, ok = strings.CutPrefix(back, origin+wallet.ReturnPath+"#response_code=")
	if !ok {
		st.Fatalf("sent back to %s", back)
	}
	return code, nil
}

func byCode(code string) string { return `{"response_code":"` + code + `"}` }

// proof checks a right verdict as the agent will, with anchors of its own.
func (st *stage) proof(s verify.Subject, v verify.Verdict, kind string) {
	st.Helper()
	if !v.Right || v.Evidence[0].Type != kind || v.Claims.Family != "Müller" || v.Claims.BirthDate != "1980-02-29" || v.Claims.Document != "D1234567" {
		st.Fatalf("verdict %+v, claims %+v", v, v.Claims)
	}
	trust := new(evidence.TrustList)
	if err := trust.AddPEM("agent", st.authority.PEM()); err != nil {
		st.Fatal(err)
	}
	check := map[string]func([]byte, protocol.Context, evidence.Anchors, time.Time) (evidence.Claims, error){
		evidence.TypeMDoc: evidence.CheckMDoc, evidence.TypeSDJWT: evidence.CheckSDJWT,
	}[kind]
	if _, err := check(v.Evidence[0].Raw, s.Context, evidence.Anchors{Origins: []string{origin}, Trust: trust}, st.now); err != nil {
		st.Errorf("the agent refuses it: %v", err)
	}
	if _, err := check(v.Evidence[0].Raw, s.Context, evidence.Anchors{Origins: []string{"https://look-alike.example.com"}, Trust: trust}, st.now); !errors.Is(err, evidence.ErrContext) {
		st.Errorf("T2: an agent with another origin: %v", err)
	}
}

func TestADocumentIsPresentedThroughTheBrowserAndByRedirect(t *testing.T) {
	for id, kind := range map[string]string{"mdl": evidence.TypeMDoc, "pid": evidence.TypeSDJWT} {
		st := newStage(t).trust()
		s := st.subject(1)
		for i := range 2 { // signed, unsigned
			a := st.open(s)
			st.proof(s, st.check(s, a.challenge, st.browser(a, i, origin, id)), kind)
		}
		a := st.open(s)
		code, err := st.post(st.fetch(a), id)
		if err != nil {
			t.Fatal(err)
		}
		st.proof(s, st.check(s, a.challenge, byCode(code)), kind)
	}
}

func TestNobodyIsAskedWhileNobodyIsTrusted(t *testing.T) {
	st := newStage(t)
	s := st.subject(1)
	if st.verifier.Usable(t.Context(), s) {
		t.Error("usable with an empty trust list")
	}
	a := st.open(s)
	if v := st.check(s, a.challenge, st.browser(a, 1, origin, "mdl")); v.Right {
		t.Error("a document of nobody on the list was accepted")
	}
	st.trust()
	if !st.verifier.Usable(t.Context(), s) || !st.verifier.Usable(t.Context(), verify.Subject{Env: st.env}) {
		t.Error("not usable for everybody with a trust list")
	}
}

// T13: an attacker starts a recovery and has the victim's wallet answer its request. The
// response code goes to the victim's browser; the attacker's session gets nowhere.
func TestT13_ARelayedWalletRequestIsRefused(t *testing.T) {
	st := newStage(t).trust()
	attacker, victim := st.subject(1), st.subject(2)
	relayed, own := st.open(attacker), st.open(victim)
	code, err := st.post(st.fetch(relayed), "mdl")
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]string{
		"no code": `{}`, "empty code": byCode(""), "guessed": byCode(strings.Repeat("A", 43)), "polling": `{"protocol":"openid4vp-v1-signed","data":{}}`,
		"null": "null", "list": "[]", "nothing": "",
	} {
		if v := st.check(attacker, relayed.challenge, answer); v.Right {
			t.Errorf("the attacker completed it with %s", name)
		}
	}
	if v := st.check(victim, own.challenge, byCode(code)); v.Right {
		t.Error("the victim's session took the code of the attacker's request")
	}
	if v := st.check(victim, relayed.challenge, byCode(code)); v.Right {
		t.Error("the victim's session redeemed the attacker's request")
	}
}

func TestT13_AnAnswerIsRedeemedOnce(t *testing.T) {
	st := newStage(t).trust()
	s := st.subject(1)
	a := st.open(s)
	r := st.fetch(a)
	code, err := st.post(r, "pid")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.post(r, "pid"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second answer: %v", err)
	}
	var right int
	for range 3 {
		if st.check(s, a.challenge, byCode(code)).Right {
			right++
		}
	}
	if right != 1 {
		t.Errorf("redeemed %d times", right)
	}
}

func TestT13_ARequestIsFetchedOnceAndEnds(t *testing.T) {
	st := newStage(t).trust()
	s := st.subject(1)
	a := st.open(s)
	st.fetch(a)
	u, err := url.Parse(a.Link)
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimPrefix(u.Query().Get("request_uri"), origin+wallet.RequestPath)
	for name, id := range map[string]string{"twice": id, "unknown": "x", "empty": "", "its answer's": a.challenge} {
		if _, err := st.verifier.Request(t.Context(), st.env, id, ""); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := st.verifier.Request(t.Context(), st.env, id, strings.Repeat("n", 600)); !errors.Is(err, wallet.ErrAnswer) {
		t.Errorf("a long wallet_nonce: %v", err)
	}
	if again := st.open(s); again.challenge == a.challenge || st.check(s, a.challenge, st.browser(a, 1, origin, "mdl")).Right {
		t.Error("a request that another one replaced still counts")
	}
}

func TestT02_APresentationForALookAlikeIsRefused(t *testing.T) {
	st := newStage(t).trust()
	s := st.subject(1)
	for _, id := range []string{"mdl", "pid"} {
		a := st.open(s)
		if v := st.check(s, a.challenge, st.browser(a, 1, "https://recover.example.net", id)); v.Right {
			t.Errorf("%s from the page of another origin was accepted", id)
		}
		if _, err := st.wallet.AnswerBrowser(a.Digital[0].Protocol, a.Digital[0].Data, "https://recover.example.net", id, st.now); err == nil {
			t.Errorf("%s: a wallet answers a signed request on another origin", id)
		}
		other := st.subject(2)
		if v := st.check(other, a.challenge, st.browser(a, 1, origin, id)); v.Right {
			t.Errorf("%s: a request of another verification was accepted", id)
		}
	}
}

func TestAWalletMayAnswerOnlyWhatItWasAsked(t *testing.T) {
	st := newStage(t).trust()
	s := st.subject(1)
	a := st.open(s)
	var r evidencetest.Request
	if err := json.Unmarshal(a.Digital[1].Data, &r); err != nil {
		t.Fatal(err)
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(r.Metadata.JWKS.Keys[0]); err != nil {
		t.Fatal(err)
	}
	good, err := st.wallet.SDJWT.Present("origin:"+origin, r.Nonce, st.now, "family_name", "given_name", "birthdate")
	if err != nil {
		t.Fatal(err)
	}
	send := func(enc jose.ContentEncryption, key jose.JSONWebKey, payload any) verify.Verdict {
		t.Helper()
		jwe, err := evidencetest.Encrypt(key, enc, payload)
		if err != nil {
			t.Fatal(err)
		}
		return st.check(s, a.challenge, `{"protocol":"openid4vp-v1-unsigned","data":{"response":"`+jwe+`"}}`)
	}
	vp := func(v any) any { return map[string]any{"vp_token": v} }
	if v := send(jose.A128GCM, key, vp(map[string][]string{"pid": {good}})); !v.Right {
		t.Fatalf("the right one with A128GCM: %s", v.Reason)
	}
	foreign := key
	foreign.KeyID = "2"
	for name, v := range map[string]verify.Verdict{
		"another id":       send(jose.A256GCM, key, vp(map[string][]string{"badge": {good}})),
		"wrong id":         send(jose.A256GCM, key, vp(map[string][]string{"mdl": {good}})),
		"two ids":          send(jose.A256GCM, key, vp(map[string][]string{"pid": {good}, "mdl": {good}})),
		"two of one":       send(jose.A256GCM, key, vp(map[string][]string{"pid": {good, good}})),
		"none":             send(jose.A256GCM, key, vp(map[string][]string{"pid": {}})),
		"no token":         send(jose.A256GCM, key, map[string]any{"error": "access_denied"}),
		"text":             send(jose.A256GCM, key, vp("pid")),
		"other encryption": send(jose.A128CBC_HS256, key, vp(map[string][]string{"pid": {good}})),
		"other key id":     send(jose.A256GCM, foreign, vp(map[string][]string{"pid": {good}})),
		"not encrypted":    st.check(s, a.challenge, `{"protocol":"openid4vp-v1-unsigned","data":{"vp_token":{"pid":["`+good+`"]}}}`),
		"broken JSON":      st.check(s, a.challenge, st.browser(a, 1, origin, "pid")[1:]),
		"wallet's error":   st.check(s, a.challenge, `{"protocol":"openid4vp-v1-unsigned","data":{"error":"invalid_request"}}`),
		"too long":         st.check(s, a.challenge, `{"protocol":"openid4vp-v1-unsigned","data":{"response":"`+strings.Repeat("A", wallet.MaxAnswer+1)+`"}}`),
	} {
		if v.Right {
			t.Errorf("%s: accepted", name)
		}
	}
	r = st.fetch(a)
	r.State = "guessed"
	if _, err := st.post(r, "mdl"); !errors.Is(err, wallet.ErrAnswer) {
		t.Errorf("another state: %v", err)
	}
}

func TestARequestSaysWhatWalletsExpect(t *testing.T) {
	st := newStage(t).trust()
	s := st.subject(1)
	a := st.open(s)
	var r evidencetest.Request
	if err := json.Unmarshal(a.Digital[1].Data, &r); err != nil {
		t.Fatal(err)
	}
	if r.ClientID != "" || r.ResponseMode != "dc_api.jwt" || r.Nonce != s.Context.String() || r.State != "" {
		t.Errorf("unsigned: %+v", r)
	}
	r = st.fetch(a)
	if r.ResponseMode != "direct_post.jwt" || r.ResponseType != "vp_token" || r.Nonce != s.Context.String() || len(r.State) < 22 || r.ClientID != "x509_san_dns:recover.example.com" ||
		r.State == a.challenge || strings.Contains(r.ResponseURI, r.State) {
		t.Errorf("redirect: %+v", r)
	}
	claims := func() (names []string) {
		for _, c := range r.Query.Credentials {
			for _, claim := range c.Claims {
				names = append(names, c.ID+"."+claim.Path[len(claim.Path)-1])
			}
		}
		return names
	}
	if slices.Contains(claims(), "mdl.portrait") {
		t.Error("a portrait is asked for without need")
	}
	s.Strength = policy.Photo
	r = st.fetch(st.open(s))
	if !slices.Contains(claims(), "mdl.portrait") {
		t.Error("no portrait is asked for")
	}
	if names := claims(); slices.Contains(names, "mdl.resident_address") || slices.Contains(names, "pid.address") {
		t.Errorf("where somebody lives is asked for without need: %q", names)
	}
	s.Home = true
	r = st.fetch(st.open(s))
	if names := claims(); !slices.Contains(names, "mdl.resident_address") || !slices.Contains(names, "pid.address") {
		t.Errorf("where somebody lives is not asked for: %q", names)
	}
	if _, err := st.verifier.Open(t.Context(), verify.Subject{Env: st.env, Origin: origin}); err == nil {
		t.Error("asked without a context")
	}
}

func TestTheCertificateOfRequestsIsKeptRenewedAndReplacedByTheOperators(t *testing.T) {
	st := newStage(t).trust()
	s := st.subject(1)
	signer := func() store.WalletSigner {
		t.Helper()
		w, err := store.Get(t.Context(), st.store, func(tx *store.Tx) (store.WalletSigner, error) {
			return tx.WalletSigner(context.WithoutCancel(t.Context()), st.env, s.RPID)
		})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	st.open(s)
	first := signer()
	st.open(s)
	if string(signer().Chain) != string(first.Chain) || first.Given {
		t.Error("made anew for each request")
	}
	st.now = first.EndsAt.Add(-time.Hour)
	st.open(s)
	second := signer()
	if string(second.Chain) == string(first.Chain) {
		t.Error("not renewed before its end")
	}
	for name, file := range map[string]string{"nothing": "", "only a certificate": string(first.Chain)} {
		if _, err := wallet.ParseSigner(st.env, s.RPID, []byte(file), st.now); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// An environment that asks for one kind of document is given no other.
func TestOnlyTheKindsOfDocumentThatTheEnvironmentChoseAreAskedForAndTaken(t *testing.T) {
	st := newStage(t).trust()
	choose := func(kinds ...string) {
		t.Helper()
		if err := st.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.SetDocuments(t.Context(), st.env, kinds) }); err != nil {
			t.Fatal(err)
		}
	}
	ids := func(r evidencetest.Request) (ids []string) {
		for _, c := range r.Query.Credentials {
			ids = append(ids, c.ID)
		}
		return ids
	}
	both := st.open(st.subject(1))
	if got := ids(st.fetch(both)); !slices.Equal(got, []string{"mdl", "pid"}) {
		t.Errorf("nothing chosen: %v", got)
	}
	licence := st.browser(both, 0, origin, "mdl")
	choose("pid")
	s := st.subject(2)
	a := st.open(s)
	if got := ids(st.fetch(a)); !slices.Equal(got, []string{"pid"}) {
		t.Errorf("asked for %v", got)
	}
	if got := st.check(s, a.challenge, st.browser(a, 0, origin, "pid")); !got.Right {
		t.Error(got.Reason)
	}
	if got := st.check(st.subject(1), both.challenge, licence); !got.Right {
		t.Errorf("what was asked for before: %s", got.Reason)
	}
	choose("mdl", "pid")
	wide := st.open(st.subject(3))
	choose("pid")
	s = st.subject(4)
	narrow := st.open(s)
	mixed := narrow
	mixed.Digital = slices.Clone(narrow.Digital)
	mixed.Digital[1].Data = json.RawMessage(strings.Replace(string(wide.Digital[1].Data), nonceOf(t, wide), nonceOf(t, narrow), 1))
	mixed.Digital[1].Data = withKeyOf(t, mixed.Digital[1].Data, narrow.Digital[1].Data)
	if got := st.check(s, narrow.challenge, st.browser(mixed, 1, origin, "mdl")); got.Right {
		t.Error("a licence is taken where only an identification was asked for")
	}
	if err := wallet.CheckKinds([]string{"pid", "pid"}); err == nil {
		t.Error("a kind twice")
	}
}

func nonceOf(t *testing.T, a asking) string {
	t.Helper()
	var r evidencetest.Request
	if err := json.Unmarshal(a.Digital[1].Data, &r); err != nil {
		t.Fatal(err)
	}
	return r.Nonce
}

// withKeyOf gives one request the key of another, so that a wallet's answer to it can be read.
func withKeyOf(t *testing.T, request, other json.RawMessage) json.RawMessage {
	t.Helper()
	var r, o map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(request, &r), json.Unmarshal(other, &o)); err != nil {
		t.Fatal(err)
	}
	r["client_metadata"] = o["client_metadata"]
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
