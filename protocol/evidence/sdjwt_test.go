package evidence_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

var allClaims = []string{"family_name", "given_name", "birthdate", "document_number", "issuing_country", "date_of_expiry"}

const (
	clientAudience = "x509_san_dns:recover.example.com"
	originAudience = "origin:" + origin
)

func newCredential(t testing.TB, w *world) *evidencetest.SDJWT {
	t.Helper()
	c, err := w.authority.IssueSDJWT(person, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func present(t testing.TB, c *evidencetest.SDJWT, audience, nonce string, claims ...string) []byte {
	t.Helper()
	s, err := c.Present(audience, nonce, now, claims...)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(s)
}

func TestACredentialProvesItsClaimsOverBothTransports(t *testing.T) {
	w := newWorld(t)
	cred := newCredential(t, w)
	for transport, audience := range map[string]string{evidence.TransportRedirect: clientAudience, evidence.TransportDCAPI: originAudience} {
		c, err := evidence.CheckSDJWT(raw(t, transport, present(t, cred, audience, w.context.String(), allClaims...)), w.context, w.anchors, now)
		if err != nil {
			t.Errorf("%s: %v", transport, err)
			continue
		}
		if c.Type != evidence.TypeSDJWT || c.Family != "Müller" || c.Given != "Jürgen" || c.BirthDate != "1980-02-29" || c.Document != "D1234567" || c.Country != "XX" ||
			c.Issuer != "CN=Demo authority,C=XX" || c.DocType != "urn:eudi:pid:1" || !c.Expires.Equal(time.Date(2031, 1, 2, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: %+v", transport, c)
		}
		if _, err := evidence.CheckSDJWT(raw(t, transport, present(t, cred, audience, w.context.String(), allClaims[:3]...)), w.context, w.anchors, now); err != nil {
			t.Errorf("%s, only what is required: %v", transport, err)
		}
	}
}

func TestT02_ACredentialForAnotherCeremonyIsRefused(t *testing.T) {
	w := newWorld(t)
	cred := newCredential(t, w)
	nonce := w.context.String()
	for name, c := range map[string]struct {
		transport string
		claims    jwt.MapClaims
		want      error
	}{
		"nonce":             {evidence.TransportRedirect, jwt.MapClaims{"aud": clientAudience, "nonce": protocol.Context{8}.String(), "iat": now.Unix()}, evidence.ErrContext},
		"no nonce":          {evidence.TransportRedirect, jwt.MapClaims{"aud": clientAudience, "iat": now.Unix()}, evidence.ErrContext},
		"client":            {evidence.TransportRedirect, jwt.MapClaims{"aud": "x509_san_dns:evil.example.com", "nonce": nonce, "iat": now.Unix()}, evidence.ErrContext},
		"client list":       {evidence.TransportRedirect, jwt.MapClaims{"aud": []string{clientAudience}, "nonce": nonce, "iat": now.Unix()}, evidence.ErrContext},
		"other transport":   {evidence.TransportRedirect, jwt.MapClaims{"aud": originAudience, "nonce": nonce, "iat": now.Unix()}, evidence.ErrContext},
		"dc_api transport":  {evidence.TransportDCAPI, jwt.MapClaims{"aud": clientAudience, "nonce": nonce, "iat": now.Unix()}, evidence.ErrContext},
		"dc_api origin":     {evidence.TransportDCAPI, jwt.MapClaims{"aud": "origin:https://recover.example.net", "nonce": nonce, "iat": now.Unix()}, evidence.ErrContext},
		"too old":           {evidence.TransportDCAPI, jwt.MapClaims{"aud": originAudience, "nonce": nonce, "iat": now.Add(-6 * time.Minute).Unix()}, evidence.ErrExpired},
		"from the future":   {evidence.TransportDCAPI, jwt.MapClaims{"aud": originAudience, "nonce": nonce, "iat": now.Add(2 * time.Minute).Unix()}, evidence.ErrExpired},
		"without a time":    {evidence.TransportDCAPI, jwt.MapClaims{"aud": originAudience, "nonce": nonce}, evidence.ErrExpired},
		"time as text":      {evidence.TransportDCAPI, jwt.MapClaims{"aud": originAudience, "nonce": nonce, "iat": "now"}, evidence.ErrFormat},
		"nonce with blanks": {evidence.TransportDCAPI, jwt.MapClaims{"aud": originAudience, "nonce": nonce + " ", "iat": now.Unix()}, evidence.ErrContext},
	} {
		shown := cred.Issuer + "~" + cred.Disclosures["family_name"] + "~" + cred.Disclosures["given_name"] + "~" + cred.Disclosures["birthdate"] + "~"
		s, err := cred.Bind(shown, c.claims)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.CheckSDJWT(raw(t, c.transport, []byte(s)), w.context, w.anchors, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// An agent re-verifies hours later, when approvals took their time: it says how old.
func TestAnAgentMayAllowTheAgeOfItsContext(t *testing.T) {
	w := newWorld(t)
	p := raw(t, evidence.TransportDCAPI, present(t, newCredential(t, w), originAudience, w.context.String(), allClaims...))
	later := now.Add(10 * time.Hour)
	if _, err := evidence.CheckSDJWT(p, w.context, w.anchors, later); !errors.Is(err, evidence.ErrExpired) {
		t.Errorf("ten hours later: %v", err)
	}
	a := w.anchors
	a.MaxAge = 11 * time.Hour
	if _, err := evidence.CheckSDJWT(p, w.context, a, later); err != nil {
		t.Errorf("with the age of the context: %v", err)
	}
}

func TestACredentialOfNobodyOnTheTrustListIsRefused(t *testing.T) {
	w, stranger := newWorld(t), newWorld(t)
	p := raw(t, evidence.TransportDCAPI, present(t, newCredential(t, w), originAudience, w.context.String(), allClaims...))
	narrow := new(evidence.TrustList)
	if err := narrow.AddPEM("mobile documents only", w.authority.PEM(), evidencetest.DocType); err != nil {
		t.Fatal(err)
	}
	for name, trust := range map[string]*evidence.TrustList{"nil": nil, "stranger": stranger.anchors.Trust, "another kind": narrow} {
		a := w.anchors
		a.Trust = trust
		if _, err := evidence.CheckSDJWT(p, w.context, a, now); !errors.Is(err, evidence.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := w.anchors
	a.VCTs = []string{"urn:example:badge"}
	if _, err := evidence.CheckSDJWT(p, w.context, a, now); !errors.Is(err, evidence.ErrRefused) {
		t.Errorf("another vct: %v", err)
	}
}

// sdDigest is the digest of a disclosure written by hand.
func sdDigest(d string) string {
	sum := sha256.Sum256([]byte(d))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func disclosure(t testing.TB, members ...any) string {
	t.Helper()
	b, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// Each case is an issuer that signed something RFC 9901 forbids, or a holder who
// shows something that does not fit.
func TestDisclosuresMustFitExactly(t *testing.T) {
	w := newWorld(t)
	plain := map[string]any{"family_name": "M", "given_name": "J", "birthdate": "1980-02-29"}
	with := func(more map[string]any) map[string]any {
		m := map[string]any{}
		for k, v := range plain {
			m[k] = v
		}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	nick, cnf := disclosure(t, "salt", "nick", "x"), disclosure(t, "salt", "status", map[string]any{"a": 1})
	deep := any("x")
	for range 14 {
		deep = map[string]any{"d": deep}
	}
	for name, c := range map[string]struct {
		plain       map[string]any
		disclosures []string
		ok          bool
	}{
		"fits":                  {with(map[string]any{"_sd": []string{sdDigest(nick)}}), []string{nick}, true},
		"in an array":           {with(map[string]any{"a": []any{map[string]any{"...": sdDigest(disclosure(t, "s", 1))}}}), []string{disclosure(t, "s", 1)}, true},
		"nested":                {with(map[string]any{"a": map[string]any{"_sd": []string{sdDigest(nick)}}}), []string{nick}, true},
		"unreferenced":          {plain, []string{nick}, false},
		"twice":                 {with(map[string]any{"_sd": []string{sdDigest(nick)}}), []string{nick, nick}, false},
		"digest twice":          {with(map[string]any{"_sd": []string{sdDigest(nick), sdDigest(nick)}}), []string{nick}, false},
		"digest in two places":  {with(map[string]any{"_sd": []string{sdDigest(nick)}, "a": map[string]any{"_sd": []string{sdDigest(nick)}}}), []string{nick}, false},
		"collision":             {with(map[string]any{"nick": "y", "_sd": []string{sdDigest(nick)}}), []string{nick}, false},
		"status disclosed":      {with(map[string]any{"_sd": []string{sdDigest(cnf)}}), []string{cnf}, false},
		"element as member":     {with(map[string]any{"_sd": []string{sdDigest(disclosure(t, "s", 1))}}), []string{disclosure(t, "s", 1)}, false},
		"member as element":     {with(map[string]any{"a": []any{map[string]any{"...": sdDigest(nick)}}}), []string{nick}, false},
		"named _sd":             {with(map[string]any{"_sd": []string{sdDigest(disclosure(t, "s", "_sd", 1))}}), []string{disclosure(t, "s", "_sd", 1)}, false},
		"stray ...":             {with(map[string]any{"a": map[string]any{"...": "x", "b": 1}}), nil, false},
		"four members":          {with(map[string]any{"_sd": []string{sdDigest(disclosure(t, "s", "n", 1, 2))}}), []string{disclosure(t, "s", "n", 1, 2)}, false},
		"salt is no text":       {with(map[string]any{"_sd": []string{sdDigest(disclosure(t, 1, "n", 1))}}), []string{disclosure(t, 1, "n", 1)}, false},
		"not base64url":         {plain, []string{"!"}, false},
		"an empty part":         {plain, []string{""}, false},
		"too deep":              {with(map[string]any{"deep": deep}), nil, false},
		"unknown hash":          {with(map[string]any{"_sd_alg": "md5"}), nil, false},
		"digest is no text":     {with(map[string]any{"_sd": []any{1}}), nil, false},
		"_sd is no array":       {with(map[string]any{"_sd": "x"}), nil, false},
		"holder key on P-384":   {with(map[string]any{"cnf": map[string]any{"jwk": map[string]any{"kty": "EC", "crv": "P-384"}}}), nil, false},
		"holder key off curve":  {with(map[string]any{"cnf": map[string]any{"jwk": map[string]any{"kty": "EC", "crv": "P-256", "x": strings.Repeat("A", 43), "y": strings.Repeat("A", 43)}}}), nil, false},
		"no holder key":         {with(map[string]any{"cnf": nil}), nil, false},
		"issued in the future":  {with(map[string]any{"iat": now.Add(time.Hour).Unix()}), nil, false},
		"not yet valid":         {with(map[string]any{"nbf": now.Add(time.Hour).Unix()}), nil, false},
		"expired":               {with(map[string]any{"exp": now.Add(-time.Hour).Unix()}), nil, false},
		"document expired":      {with(map[string]any{"date_of_expiry": "2026-11-18"}), nil, false},
		"birth date not a date": {with(map[string]any{"birthdate": "1980"}), nil, false},
		"another country":       {with(map[string]any{"issuing_country": "YY"}), nil, false},
	} {
		if _, sd := c.plain["_sd"]; !sd {
			c.plain = with(c.plain)
			c.plain["_sd"] = []string{}
		}
		cred, err := w.authority.IssueClaims(nil, c.plain, now)
		if err != nil {
			t.Fatal(err)
		}
		s, err := cred.Bind(strings.Join(append([]string{cred.Issuer}, c.disclosures...), "~")+"~", jwt.MapClaims{"aud": originAudience, "nonce": w.context.String(), "iat": now.Unix()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.CheckSDJWT(raw(t, evidence.TransportDCAPI, []byte(s)), w.context, w.anchors, now); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyBindingIsRequiredAndCoversWhatIsShown(t *testing.T) {
	w := newWorld(t)
	cred := newCredential(t, w)
	s := string(present(t, cred, originAudience, w.context.String(), allClaims...))
	parts := strings.Split(s, "~")
	none := strings.Join(parts[:len(parts)-1], "~") + "~"
	fewer := strings.Join(append([]string{parts[0]}, parts[2:]...), "~")
	other := newCredential(t, w)
	foreign, err := other.Bind(none, jwt.MapClaims{"aud": originAudience, "nonce": w.context.String(), "iat": now.Unix()})
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{"none": none, "bare": parts[0], "one dropped": fewer, "another key": foreign, "swapped": parts[0] + "~" + parts[2] + "~" + parts[1] + "~" + strings.Join(parts[3:], "~"), "spaces": s + " ", "line end": s + "\n"} {
		if _, err := evidence.CheckSDJWT(raw(t, evidence.TransportDCAPI, []byte(bad)), w.context, w.anchors, now); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestOneChangedCharacterOfACredentialIsNeverAccepted(t *testing.T) {
	w := newWorld(t)
	s := string(present(t, newCredential(t, w), originAudience, w.context.String(), allClaims...))
	check := func(text string) error {
		_, err := evidence.CheckSDJWT(raw(t, evidence.TransportDCAPI, []byte(text)), w.context, w.anchors, now)
		return err
	}
	if err := check(s); err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range len(s) {
		// A neighbour in the base64 alphabet changes the last bits only; "A" changes more.
		for _, c := range []byte{s[i] ^ 1, 'A', 'B'} {
			if c == s[i] {
				continue
			}
			n++
			if err := check(s[:i] + string([]byte{c}) + s[i+1:]); err == nil {
				t.Errorf("accepted with character %d changed from %q to %q", i, s[i], c)
			}
		}
	}
	t.Logf("%d characters, %d changes, 0 accepted", len(s), n)
}
