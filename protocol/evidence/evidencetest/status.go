package evidencetest

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A StatusList is what an issuer says of its documents; its zero values are left out.
type StatusList struct {
	URI             string
	Issued, Expires time.Time
	TTL             time.Duration
	Bits            int
	Values          []byte // one for each entry
}

// Packed returns the list compressed, from the least significant bit of each byte.
func (l StatusList) Packed() []byte {
	each := 8 / l.Bits
	raw := make([]byte, (len(l.Values)+each-1)/each)
	for i, v := range l.Values {
		raw[i/each] |= v << (i % each * l.Bits)
	}
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, err := z.Write(raw)
	must(err)
	must(z.Close())
	return b.Bytes()
}

// StatusJWT signs a list as a JWT.
func (s Signer) StatusJWT(l StatusList) (string, error) {
	claims := jwt.MapClaims{"sub": l.URI, "status_list": map[string]any{"bits": l.Bits, "lst": base64.RawURLEncoding.EncodeToString(l.Packed())}}
	if !l.Issued.IsZero() {
		claims["iat"] = l.Issued.Unix()
	}
	if !l.Expires.IsZero() {
		claims["exp"] = l.Expires.Unix()
	}
	if l.TTL != 0 {
		claims["ttl"] = int64(l.TTL / time.Second)
	}
	return s.JWT("statuslist+jwt", claims)
}

// StatusCWT signs a list as a CWT.
func (s Signer) StatusCWT(l StatusList) ([]byte, error) {
	claims := map[int]any{2: l.URI, 65533: map[string]any{"bits": l.Bits, "lst": l.Packed()}}
	if !l.Issued.IsZero() {
		claims[6] = l.Issued.Unix()
	}
	if !l.Expires.IsZero() {
		claims[4] = l.Expires.Unix()
	}
	if l.TTL != 0 {
		claims[65534] = int64(l.TTL / time.Second)
	}
	payload, err := deterministic.Marshal(claims)
	if err != nil {
		return nil, err
	}
	return coseSignAs(s.Key, map[int]any{1: algES256, 16: "application/statuslist+cwt"}, map[int]any{33: s.Certificate.Raw}, payload, false)
}
