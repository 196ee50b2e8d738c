package api

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// An app is a client of a place, and the key with which the provider signs for it.
type app struct {
	id  string
	key store.OIDCKey
}

const appPage, envPage = "https://app.test", "https://env.test:8443"

// addApp makes an application in a place, whose environment has a page of its own.
func (st *stack) addApp(t *testing.T, p place, c party.Contract) (a app) {
	t.Helper()
	settings := party.Settings{Name: "app", Redirects: []string{appPage + ":443/back?x=1"}}
	key, err := party.NewKey(c, settings, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		e, err := tx.Environment(ctx, p.Env.ID)
		if err != nil {
			return err
		}
		e.CallbackURLs = []string{envPage + "/back"}
		if err := tx.UpdateEnvironment(ctx, e); err != nil {
			return err
		}
		made, err := party.Add(ctx, tx, p.Env.ID, "", c, "", settings, key)
		a = app{made.ID, key}
		return err
	})
	return a
}

// token signs an id_token as the provider does, changed.
func (a app) token(t *testing.T, p place, change jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{"iss": "https://id.vendor.test", "aud": a.id, "sub": p.subject, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	private, err := x509.ParsePKCS8PrivateKey(a.key.Private)
	if err != nil {
		t.Fatal(err)
	}
	return a.sign(t, jwt.GetSigningMethod(a.key.Algorithm), claims, private.(crypto.Signer))
}

func (a app) sign(t *testing.T, how jwt.SigningMethod, claims jwt.MapClaims, key any) string {
	t.Helper()
	token := jwt.NewWithClaims(how, claims)
	token.Header["kid"] = a.key.ID
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const myProperties = "/people/me/properties/name"

func from(origin string) func(*http.Request) {
	return func(r *http.Request) {
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
	}
}

// asMe asks as the person whom a token is about.
func (st *stack) asMe(t *testing.T, method, token, origin string, change ...func(*http.Request)) reply {
	t.Helper()
	return st.do(t, "", method, myProperties+"?token="+url.QueryEscape(token), "", append(change, from(origin))...)
}

func TestPeopleReadAndRevokeWhatTheyShareFromThePageOfAnApplication(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		a := st.addApp(t, st.mine, party.OpenID)
		token := a.token(t, st.mine, nil)
		for _, page := range []string{appPage, envPage} {
			got := st.asMe(t, "GET", token, page)
			if got.status != 200 || !strings.Contains(got.body, `"Alice"`) || got.member(t, "subject") != st.mine.subject {
				t.Fatalf("%s: %d %s", page, got.status, got.body)
			}
			h := got.header
			if h.Get("Access-Control-Allow-Origin") != page || h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: %v", page, h)
			}
		}
		asks := func(r *http.Request) { r.Header.Set("Access-Control-Request-Method", "DELETE") }
		if got := st.asMe(t, "OPTIONS", token, appPage, asks); got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != appPage || got.header.Get("Access-Control-Allow-Methods") != personMethods {
			t.Errorf("preflight: %d %v", got.status, got.header)
		}
		if got := st.asMe(t, "DELETE", token, appPage); got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != appPage {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if got := st.asMe(t, "GET", token, appPage); got.status != 200 || strings.Contains(got.body, "Alice") || !strings.Contains(got.body, `"status":403`) {
			t.Errorf("after it was revoked: %d %s", got.status, got.body)
		}
		st.checkPersonsRecord(t, token)
	})
}

// checkPersonsRecord wants one record that names the person, and neither token nor key.
func (st *stack) checkPersonsRecord(t *testing.T, token string) {
	t.Helper()
	rows, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]string, error) {
		return store.All(t.Context(), tx, store.Text, "SELECT leaf FROM audit_events WHERE env = $1 AND kind = 'sharing_revoked'", st.mine.Env.ID)
	})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%v %v", rows, err)
	}
	var leaf struct {
		Principal map[string]string `json:"principal"`
		Org       string            `json:"org"`
	}
	if err := json.Unmarshal([]byte(rows[0]), &leaf); err != nil {
		t.Fatal(err)
	}
	if leaf.Principal["subject"] != st.mine.subject || len(leaf.Principal) != 1 || leaf.Org != st.mine.Org.ID || strings.Contains(rows[0], token) || strings.Contains(rows[0], "127.0.0.1") {
		t.Errorf("the record: %s", rows[0])
	}
}

func TestT25_ATokenOpensWhatItsPersonSharesWithItsOwnEnvironmentAlone(t *testing.T) {
	st := lite(t)
	a, theirs := st.addApp(t, st.mine, party.OpenID), st.addApp(t, st.foreign, party.OpenID)
	second, vendor := st.addApp(t, st.mine, party.OpenID), st.addApp(t, st.mine, party.OktaIDV)
	good := a.token(t, st.mine, nil)
	parts := strings.Split(good, ".")
	claims := jwt.MapClaims{"iss": "https://id.vendor.test", "aud": a.id, "sub": st.mine.subject, "exp": time.Now().Add(time.Hour).Unix()}
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"` + a.key.ID + `"}`))
	cases := map[string]string{
		"none":                          "",
		"no token":                      "x.y.z",
		"expired":                       a.token(t, st.mine, jwt.MapClaims{"exp": time.Now().Add(-time.Second).Unix()}),
		"without an end":                a.token(t, st.mine, jwt.MapClaims{"exp": nil}),
		"not yet good":                  a.token(t, st.mine, jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}),
		"another issuer":                a.token(t, st.mine, jwt.MapClaims{"iss": "https://id.vendor.test/okta/eam"}),
		"for nobody":                    a.token(t, st.mine, jwt.MapClaims{"aud": nil}),
		"for an unknown client":         a.token(t, st.mine, jwt.MapClaims{"aud": store.NewID()}),
		"for two clients":               a.token(t, st.mine, jwt.MapClaims{"aud": []string{a.id, second.id}}),
		"for another client":            a.token(t, st.mine, jwt.MapClaims{"aud": second.id}),
		"for another contract":          vendor.token(t, st.mine, nil),
		"about another environment":     a.token(t, st.foreign, nil),
		"about one beside":              a.token(t, st.other, nil),
		"of another environment's key":  theirs.token(t, st.mine, jwt.MapClaims{"aud": a.id}),
		"of another environment's app":  theirs.token(t, st.mine, nil),
		"about nobody":                  a.token(t, st.mine, jwt.MapClaims{"sub": nil}),
		"about no subject of ours":      a.token(t, st.mine, jwt.MapClaims{"sub": "alice"}),
		"alg none":                      header + "." + parts[1] + ".",
		"alg none with a signature":     header + "." + parts[1] + "." + parts[2],
		"HS256 by the public key":       a.sign(t, jwt.SigningMethodHS256, claims, a.key.Public),
		"without its signature":         parts[0] + "." + parts[1] + ".",
		"other claims, same signature":  parts[0] + "." + strings.Split(a.token(t, st.mine, jwt.MapClaims{"x": 1}), ".")[1] + "." + parts[2],
		"an extension that must be met": criticalToken(t, a, claims),
	}
	for what, token := range cases {
		for _, method := range []string{"GET", "DELETE", "OPTIONS"} {
			got := st.asMe(t, method, token, appPage, func(r *http.Request) { r.Header.Set("Access-Control-Request-Method", "DELETE") })
			if got.status != http.StatusUnauthorized || got.header.Get("Access-Control-Allow-Origin") != "" || strings.Contains(got.body, "Alice") {
				t.Errorf("%s, %s: %d %v %s", what, method, got.status, got.header, got.body)
			}
		}
	}
	if got := st.asMe(t, "GET", good, appPage); got.status != 200 || !strings.Contains(got.body, "Alice") {
		t.Errorf("after all that: %d %s", got.status, got.body)
	}
}

// criticalToken says that nobody may believe it who does not know an extension (RFC 7515
// 4.1.11).
func criticalToken(t *testing.T, a app, claims jwt.MapClaims) string {
	t.Helper()
	private, err := x509.ParsePKCS8PrivateKey(a.key.Private)
	if err != nil {
		t.Fatal(err)
	}
	token := jwt.NewWithClaims(jwt.GetSigningMethod(a.key.Algorithm), claims)
	token.Header["kid"], token.Header["crit"] = a.key.ID, []string{"x"}
	text, err := token.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestT25_OnlyPagesOfTheApplicationAskForAPerson(t *testing.T) {
	st := lite(t)
	a := st.addApp(t, st.mine, party.OpenID)
	token := a.token(t, st.mine, nil)
	for _, origin := range []string{"https://evil.test", "http://app.test", "https://app.test:444", "https://app.test.evil.test", "null", "https://app.test/", "https://APP.test", "*"} {
		for _, method := range []string{"GET", "DELETE", "OPTIONS"} {
			got := st.asMe(t, method, token, origin, func(r *http.Request) { r.Header.Set("Access-Control-Request-Method", "GET") })
			if got.status != http.StatusForbidden || got.header.Get("Access-Control-Allow-Origin") != "" || strings.Contains(got.body, "Alice") {
				t.Errorf("%s by %s: %d %v %s", origin, method, got.status, got.header, got.body)
			}
		}
	}
	twice := func(r *http.Request) { r.Header.Add("Origin", "https://evil.test") }
	asks := func(method string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Access-Control-Request-Method", method) }
	}
	for what, got := range map[string]reply{
		"no origin":     st.asMe(t, "GET", token, ""),
		"a key beside":  st.do(t, st.mine.key, "GET", myProperties+"?token="+token, "", from(appPage)),
		"a key alone":   st.do(t, st.mine.key, "GET", myProperties, "", from(appPage)),
		"a subject":     st.do(t, "", "GET", "/people/"+st.mine.subject+"/properties/name?token="+token, "", from(appPage)),
		"a key and it":  st.do(t, st.mine.key, "GET", "/people/"+st.mine.subject+"/properties/name?token="+token, ""),
		"two tokens":    st.asMe(t, "GET", token+"&token="+token, appPage),
		"another word":  st.do(t, "", "GET", myProperties+"?token="+token+"&x=1", "", from(appPage)),
		"unknown claim": st.do(t, "", "GET", "/people/me/properties/shoes?token="+token, "", from(appPage)),
		"two tokens 2":  st.do(t, "", "GET", myProperties+"?token="+token+"&token=x", "", from(appPage)),
		"two origins":   st.asMe(t, "GET", token, "", twice, func(r *http.Request) { r.Header.Add("Origin", appPage) }),
	} {
		if want := http.StatusBadRequest; got.status != want && what != "two tokens" || strings.Contains(got.body, "Alice") {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	if got := st.asMe(t, "OPTIONS", token, appPage, asks("POST")); got.status != http.StatusMethodNotAllowed || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight for POST: %d %v", got.status, got.header)
	}
	for _, path := range []string{"/people/me/compare", "/people/me/preferred-name", "/people/me/picture", "/people/me"} {
		for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
			if got := st.do(t, "", method, path+"?token="+token, "{}", from(appPage), asks("DELETE")); got.status < 400 || got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: %d %s", method, path, got.status, got.body)
			}
		}
	}
}

// Somebody who asks all the time hears so, and keeps nobody else from asking.
func TestPeopleAreCountedBySubject(t *testing.T) {
	st := lite(t)
	a := st.addApp(t, st.mine, party.OpenID)
	token := a.token(t, st.mine, nil)
	for i := range persons.perMinute {
		if got := st.asMe(t, "GET", token, appPage); got.status != 200 {
			t.Fatalf("request %d: %d %s", i, got.status, got.body)
		}
	}
	var over reply
	for range 5 { // some come back meanwhile
		if over = st.asMe(t, "GET", token, appPage); over.status == http.StatusTooManyRequests {
			break
		}
	}
	if over.status != http.StatusTooManyRequests || over.header.Get("Retry-After") == "" || over.header.Get("Access-Control-Allow-Origin") != appPage {
		t.Errorf("%d %v", over.status, over.header)
	}
	other := ""
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		id, err := tx.PersonID(ctx, st.mine.Env.ID, "somebody else")
		other = request.Subject(st.mine.Env.ID, id)
		return err
	})
	if got := st.asMe(t, "GET", a.token(t, st.mine, jwt.MapClaims{"sub": other}), appPage); got.status != http.StatusNotFound {
		t.Errorf("somebody else, who shared nothing: %d %s", got.status, got.body)
	}
}
