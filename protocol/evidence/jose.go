package evidence

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// parseJWT verifies a compact JWT strictly with the key that pick gives for its
// header, and returns its claims with numbers kept as text. Times are checked against
// now with leeway.
func parseJWT(what, text string, algs []string, now time.Time, pick func(header map[string]any) (crypto.PublicKey, error)) (map[string]any, error) {
	if strings.Count(text, ".") != 2 || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: %s is not a compact JWT", ErrFormat, what)
	}
	var refused error
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(
		jwt.WithValidMethods(algs), jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
		jwt.WithLeeway(leeway), jwt.WithIssuedAt(), jwt.WithTimeFunc(func() time.Time { return now }),
	).ParseWithClaims(text, claims, func(t *jwt.Token) (any, error) {
		if _, critical := t.Header["crit"]; critical {
			refused = fmt.Errorf("%w: %s has critical headers", ErrFormat, what)
			return nil, refused
		}
		key, err := pick(t.Header)
		refused = err
		return key, err
	})
	switch {
	case err == nil:
		return claims, nil
	case refused != nil:
		return nil, refused
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return nil, fmt.Errorf("%w: %s", ErrExpired, what)
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, fmt.Errorf("%w: %s", ErrSignature, what)
	}
	return nil, fmt.Errorf("%w: %s: %v", ErrFormat, what, err)
}

// headerChain returns x5c of a protected header: certificates in standard base64,
// leaf first (RFC 7515 4.1.6).
func headerChain(header map[string]any) ([][]byte, error) {
	list, _ := header["x5c"].([]any)
	if len(list) == 0 || len(list) > maxChain {
		return nil, fmt.Errorf("%w: x5c of %d certificates", ErrFormat, len(list))
	}
	var chain [][]byte
	for _, e := range list {
		s, _ := e.(string)
		der, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil {
			return nil, fmt.Errorf("%w: x5c", ErrFormat)
		}
		chain = append(chain, der)
	}
	return chain, nil
}

// readValue parses exactly one JSON value with numbers kept as text.
func readValue(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %v", ErrFormat, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one value", ErrFormat)
	}
	return nil
}

// seconds returns a NumericDate claim.
func seconds(claims map[string]any, name string) (time.Time, bool) {
	n, ok := claims[name].(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(f), 0), true
}

// claimText returns a string claim, or "".
func claimText(claims map[string]any, name string) string {
	s, _ := claims[name].(string)
	return s
}
