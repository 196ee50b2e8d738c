package demo

import (
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// maxFilterDepth bounds the nesting of a filter; people write three levels.
const maxFilterDepth = 16

// A filter decides whether an entry is found, looking at its attributes through get.
type filter func(get func(attribute string) []string) bool

// readFilter reads a filter (RFC 4511 §4.5.1.7); ok is false for what is none.
// Extensible matches find nothing.
func readFilter(p *ber.Packet, depth int) (f filter, ok bool) {
	if p == nil || p.ClassType != ber.ClassContext || depth > maxFilterDepth {
		return nil, false
	}
	switch p.Tag {
	case ldap.FilterAnd, ldap.FilterOr:
		return readFilters(p, depth)
	case ldap.FilterNot:
		inner, ok := readFilter(part(p, 0), depth+1)
		return func(get func(string) []string) bool { return !inner(get) }, ok
	case ldap.FilterPresent:
		name := text(p)
		return func(get func(string) []string) bool { return len(get(name)) > 0 }, name != ""
	case ldap.FilterSubstrings:
		return readSubstrings(p)
	case ldap.FilterEqualityMatch, ldap.FilterApproxMatch:
		return readAssertion(p, strings.EqualFold)
	case ldap.FilterGreaterOrEqual:
		return readAssertion(p, func(v, asserted string) bool { return v >= asserted })
	case ldap.FilterLessOrEqual:
		return readAssertion(p, func(v, asserted string) bool { return v <= asserted })
	case ldap.FilterExtensibleMatch:
		return func(func(string) []string) bool { return false }, true
	}
	return nil, false
}

// readFilters reads the set inside of an and or an or.
func readFilters(p *ber.Packet, depth int) (filter, bool) {
	var inner []filter
	for _, c := range p.Children {
		f, ok := readFilter(c, depth+1)
		if !ok {
			return nil, false
		}
		inner = append(inner, f)
	}
	all := p.Tag == ldap.FilterAnd
	return func(get func(string) []string) bool {
		for _, f := range inner {
			if f(get) != all {
				return !all
			}
		}
		return all
	}, true
}

// readAssertion reads attribute and value, compared by matches.
func readAssertion(p *ber.Packet, matches func(value, asserted string) bool) (filter, bool) {
	name, asserted := text(part(p, 0)), text(part(p, 1))
	return func(get func(string) []string) bool {
		for _, v := range get(name) {
			if matches(v, asserted) {
				return true
			}
		}
		return false
	}, name != "" && len(p.Children) == 2
}

// readSubstrings reads initial*any*final, each in small letters.
func readSubstrings(p *ber.Packet) (filter, bool) {
	name, pieces := text(part(p, 0)), part(p, 1)
	if name == "" || pieces == nil || len(pieces.Children) == 0 {
		return nil, false
	}
	return func(get func(string) []string) bool {
		for _, v := range get(name) {
			if holds(strings.ToLower(v), pieces.Children) {
				return true
			}
		}
		return false
	}, true
}

func holds(v string, pieces []*ber.Packet) bool {
	for _, p := range pieces {
		want := strings.ToLower(text(p))
		switch p.Tag {
		case ldap.FilterSubstringsInitial:
			rest, ok := strings.CutPrefix(v, want)
			if !ok {
				return false
			}
			v = rest
		case ldap.FilterSubstringsAny:
			_, rest, ok := strings.Cut(v, want)
			if !ok {
				return false
			}
			v = rest
		case ldap.FilterSubstringsFinal:
			if !strings.HasSuffix(v, want) {
				return false
			}
		}
	}
	return true
}
