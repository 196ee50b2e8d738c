package evidence_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

const statusURI = "https://status.example.com/1"

// statusOf are the claims of a credential of the world whose entry is index.
func statusOf(t testing.TB, w *world, index uint64) evidence.Claims {
	t.Helper()
	c, err := w.authority.IssueClaims(map[string]any{
		"family_name": person.Family, "given_name": person.Given, "birthdate": person.BirthDate, "document_number": person.Document, "issuing_country": "XX", "date_of_expiry": person.Expires,
	}, map[string]any{"status": map[string]any{"status_list": map[string]any{"uri": statusURI, "idx": index}}}, now)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := evidence.CheckSDJWT(raw(t, evidence.TransportDCAPI, present(t, c, originAudience, w.context.String(), allClaims...)), w.context, w.anchors, now)
	if err != nil || claims.Status == nil {
		t.Fatalf("%+v %v", claims.Status, err)
	}
	return claims
}

func statusList(bits int, values ...byte) evidencetest.StatusList {
	return evidencetest.StatusList{URI: statusURI, Issued: now.Add(-time.Hour), Expires: now.Add(time.Hour), TTL: 10 * time.Minute, Bits: bits, Values: values}
}

// both signs a list in both forms.
func both(t testing.TB, s evidencetest.Signer, l evidencetest.StatusList) map[string][]byte {
	t.Helper()
	text, err := s.StatusJWT(l)
	if err != nil {
		t.Fatal(err)
	}
	cwt, err := s.StatusCWT(l)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"jwt": []byte(text), "cwt": cwt}
}

func TestAStatusListSaysWhichDocumentIsRevoked(t *testing.T) {
	w := newWorld(t)
	for _, bits := range []int{1, 2, 4, 8} {
		values := make([]byte, 100)
		values[41], values[43], values[99] = 1, 1<<bits-1, 1
		for form, token := range both(t, w.authority.Credentials, statusList(bits, values...)) {
			for index, revoked := range map[uint64]bool{0: false, 40: false, 41: true, 42: false, 43: true, 98: false, 99: true} {
				until, err := statusOf(t, w, index).CheckStatus(token, w.anchors, now)
				if revoked != errors.Is(err, evidence.ErrRevoked) || !revoked && err != nil {
					t.Errorf("%s, %d bits, entry %d: %v", form, bits, index, err)
				}
				if !until.Equal(now.Add(10 * time.Minute)) {
					t.Errorf("%s: kept until %v", form, until)
				}
			}
			if _, err := statusOf(t, w, 1_000_000).CheckStatus(token, w.anchors, now); err == nil || errors.Is(err, evidence.ErrRevoked) {
				t.Errorf("%s: an entry behind the end: %v", form, err)
			}
			if _, err := statusOf(t, w, 1<<60).CheckStatus(token, w.anchors, now); !errors.Is(err, evidence.ErrFormat) {
				t.Errorf("%s: an entry far behind the end: %v", form, err)
			}
		}
	}
}

func TestAStatusListCountsOnlyFromTheDocumentsOwnAuthorityAndForItsAddressAndTime(t *testing.T) {
	w := newWorld(t)
	c := statusOf(t, w, 0)
	stranger, err := evidencetest.NewAuthority("XX", "Another authority", now)
	if err != nil {
		t.Fatal(err)
	}
	listed := w.anchors
	listed.Trust = new(evidence.TrustList)
	if err := errors.Join(listed.Trust.AddPEM("a", w.authority.PEM()), listed.Trust.AddPEM("b", stranger.PEM())); err != nil {
		t.Fatal(err)
	}
	change := func(f func(*evidencetest.StatusList)) evidencetest.StatusList {
		l := statusList(1, 0)
		f(&l)
		return l
	}
	for name, tc := range map[string]struct {
		signer evidencetest.Signer
		list   evidencetest.StatusList
		want   error
	}{
		"of an authority on the list": {stranger.Credentials, statusList(1, 0), evidence.ErrUntrusted},
		"of another address":          {w.authority.Credentials, change(func(l *evidencetest.StatusList) { l.URI += "0" }), evidence.ErrContext},
		"of no address":               {w.authority.Credentials, change(func(l *evidencetest.StatusList) { l.URI = "" }), evidence.ErrContext},
		"too old":                     {w.authority.Credentials, change(func(l *evidencetest.StatusList) { l.Expires = now.Add(-2 * time.Minute) }), evidence.ErrExpired},
		"of the future":               {w.authority.Credentials, change(func(l *evidencetest.StatusList) { l.Issued = now.Add(2 * time.Minute) }), evidence.ErrExpired},
		"without a time":              {w.authority.Credentials, change(func(l *evidencetest.StatusList) { l.Issued = time.Time{} }), evidence.ErrExpired},
		"older than its ttl":          {w.authority.Credentials, change(func(l *evidencetest.StatusList) { l.Expires = time.Time{} }), evidence.ErrExpired},
		"older than a day": {w.authority.Credentials, change(func(l *evidencetest.StatusList) {
			l.Expires, l.TTL, l.Issued = time.Time{}, 0, now.Add(-25*time.Hour)
		}), evidence.ErrExpired},
	} {
		for form, token := range both(t, tc.signer, tc.list) {
			if _, err := c.CheckStatus(token, listed, now); !errors.Is(err, tc.want) {
				t.Errorf("%s, %s: %v", name, form, err)
			}
		}
	}
	for form, token := range both(t, w.authority.Credentials, statusList(1, 1)) {
		if _, err := c.CheckStatus(token, evidence.Anchors{}, now); !errors.Is(err, evidence.ErrUntrusted) {
			t.Errorf("%s: nobody is trusted: %v", form, err)
		}
		for i := range token {
			b := slices.Clone(token)
			b[i] ^= 1
			if _, err := c.CheckStatus(b, w.anchors, now); err == nil {
				t.Fatalf("%s: valid with byte %d changed", form, i)
			}
		}
	}
	if _, err := c.CheckStatus(bytes.Repeat([]byte("a"), evidence.MaxStatusToken+1), w.anchors, now); !errors.Is(err, evidence.ErrFormat) {
		t.Errorf("larger than allowed: %v", err)
	}
	c.Status = nil
	if _, err := c.CheckStatus([]byte("x"), w.anchors, now); !errors.Is(err, evidence.ErrMissing) {
		t.Errorf("a document without a status: %v", err)
	}
}

// A list that says little and unpacks to much is read through, and not kept.
func TestABombInAStatusListIsHarmless(t *testing.T) {
	w := newWorld(t)
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		if _, err := z.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := w.authority.Credentials.JWT("statuslist+jwt", jwt.MapClaims{"sub": statusURI, "iat": now.Unix(),
		"status_list": map[string]any{"bits": 8, "lst": base64.RawURLEncoding.EncodeToString(b.Bytes())}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := statusOf(t, w, 16<<20-1).CheckStatus([]byte(text), w.anchors, now); err != nil {
		t.Errorf("the last entry that is read: %v", err)
	}
	if _, err := statusOf(t, w, 16<<20).CheckStatus([]byte(text), w.anchors, now); !errors.Is(err, evidence.ErrFormat) {
		t.Errorf("the next one: %v", err)
	}
	c := statusOf(t, w, 16<<20-1)
	if n := testing.AllocsPerRun(3, func() { _, _ = c.CheckStatus([]byte(text), w.anchors, now) }); n > 5000 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzCheckStatus(f *testing.F) {
	w := newWorld(f)
	c := statusOf(f, w, 3)
	known := both(f, w.authority.Credentials, statusList(2, 0, 1, 2, 0, 3))
	for _, token := range known {
		f.Add(token)
	}
	f.Add([]byte("eyJhbGciOiJub25lIn0.e30."))
	f.Add([]byte{0x84, 0x40, 0xa0, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, token []byte) {
		_, err := c.CheckStatus(token, w.anchors, now)
		if err == nil && !bytes.Equal(bytes.TrimSpace(token), known["jwt"]) && !bytes.Equal(token, known["cwt"]) && !bytes.Equal(token, append([]byte{0xd2}, known["cwt"]...)) {
			t.Errorf("valid: %x", token)
		}
	})
}
