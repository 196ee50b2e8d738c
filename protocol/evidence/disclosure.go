package evidence

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"slices"
)

// Bounds of selective disclosure.
const (
	maxDisclosures = 256
	maxDepth       = 12
)

// never are claims that an issuer must not make selectively disclosable (SD-JWT VC,
// "Registered JWT Claims"), the last two because keys and hashes hang on them.
var never = []string{"iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "status", "_sd_alg", "aud"}

// A disclosure is one salted value (RFC 9901 4.2): of an object member, or of an array
// element when it has no name.
type disclosure struct {
	name    string
	value   any
	element bool
}

// A discloser puts disclosed values back where their digests stand, and refuses
// whatever does not fit exactly (RFC 9901 7.1).
type discloser struct {
	byDigest map[string]disclosure
	seen     map[string]bool // digests found in the payload
	used     int
}

// disclosed returns claims with every disclosure in its place.
func disclosed(claims map[string]any, texts []string, sum func(string) string) (map[string]any, error) {
	if len(texts) > maxDisclosures {
		return nil, fmt.Errorf("%w: %d disclosures", ErrFormat, len(texts))
	}
	d := discloser{map[string]disclosure{}, map[string]bool{}, 0}
	for _, t := range texts {
		one, err := parseDisclosure(t)
		if err != nil {
			return nil, err
		}
		key := sum(t)
		if _, dup := d.byDigest[key]; dup {
			return nil, fmt.Errorf("%w: a disclosure appears twice", ErrFormat)
		}
		d.byDigest[key] = one
	}
	out, err := d.object(claims, 0)
	if err != nil {
		return nil, err
	}
	if d.used != len(d.byDigest) {
		return nil, fmt.Errorf("%w: a disclosure that nothing refers to", ErrSignature)
	}
	for _, name := range never {
		if _, plain := claims[name]; !plain && out[name] != nil {
			return nil, fmt.Errorf("%w: %s was selectively disclosed", ErrFormat, name)
		}
	}
	return out, nil
}

func parseDisclosure(text string) (disclosure, error) {
	raw, err := b64.DecodeString(text)
	if err != nil {
		return disclosure{}, fmt.Errorf("%w: disclosure", ErrFormat)
	}
	var a []any
	if err := readValue(raw, &a); err != nil {
		return disclosure{}, err
	}
	if len(a) < 2 || len(a) > 3 {
		return disclosure{}, fmt.Errorf("%w: disclosure of %d members", ErrFormat, len(a))
	}
	if _, salt := a[0].(string); !salt {
		return disclosure{}, fmt.Errorf("%w: disclosure without a salt", ErrFormat)
	}
	if len(a) == 2 {
		return disclosure{value: a[1], element: true}, nil
	}
	name, ok := a[1].(string)
	if !ok || name == "_sd" || name == "..." {
		return disclosure{}, fmt.Errorf("%w: name of a disclosure", ErrFormat)
	}
	return disclosure{name: name, value: a[2]}, nil
}

// find looks a digest up and marks it. A digest may stand in one place only.
func (d *discloser) find(digest any) (one disclosure, ok bool, err error) {
	s, isText := digest.(string)
	if !isText || d.seen[s] {
		return one, false, fmt.Errorf("%w: a digest that is no text or stands twice", ErrFormat)
	}
	d.seen[s] = true
	if one, ok = d.byDigest[s]; ok {
		d.used++
	}
	return one, ok, nil
}

func (d *discloser) value(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nested too deeply", ErrFormat)
	}
	switch t := v.(type) {
	case map[string]any:
		return d.object(t, depth)
	case []any:
		return d.array(t, depth)
	}
	return v, nil
}

func (d *discloser) object(in map[string]any, depth int) (map[string]any, error) {
	out := map[string]any{}
	for name, v := range in {
		if name == "_sd" || name == "_sd_alg" && depth == 0 {
			continue
		}
		if name == "..." {
			return nil, fmt.Errorf("%w: stray \"...\"", ErrFormat)
		}
		w, err := d.value(v, depth+1)
		if err != nil {
			return nil, err
		}
		out[name] = w
	}
	digests, isList := in["_sd"].([]any)
	if _, there := in["_sd"]; there && !isList {
		return nil, fmt.Errorf("%w: _sd is no array", ErrFormat)
	}
	for _, digest := range digests {
		if err := d.member(out, digest, depth); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// member puts the disclosure of one digest of "_sd" into out.
func (d *discloser) member(out map[string]any, digest any, depth int) error {
	one, ok, err := d.find(digest)
	if err != nil || !ok {
		return err
	}
	if _, taken := out[one.name]; taken || one.element {
		return fmt.Errorf("%w: a disclosure does not fit its place", ErrFormat)
	}
	out[one.name], err = d.value(one.value, depth+1)
	return err
}

func (d *discloser) array(in []any, depth int) ([]any, error) {
	out := []any{}
	for _, e := range in {
		m, isObject := e.(map[string]any)
		digest, hidden := m["..."]
		if !isObject || !hidden || len(m) != 1 {
			w, err := d.value(e, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, w)
			continue
		}
		one, ok, err := d.find(digest)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if !one.element {
			return nil, fmt.Errorf("%w: a disclosure does not fit its place", ErrFormat)
		}
		w, err := d.value(one.value, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// disclosureHash returns the hash that _sd_alg names.
func disclosureHash(claims map[string]any) (func(string) string, error) {
	alg, named := claims["_sd_alg"]
	if !named {
		alg = "sha-256"
	}
	if i := slices.Index([]any{"sha-256", "sha-384"}, alg); i == 0 {
		return func(s string) string { h := sha256.Sum256([]byte(s)); return b64.EncodeToString(h[:]) }, nil
	} else if i == 1 {
		return func(s string) string { h := sha512.Sum384([]byte(s)); return b64.EncodeToString(h[:]) }, nil
	}
	return nil, fmt.Errorf("%w: _sd_alg", ErrRefused)
}
