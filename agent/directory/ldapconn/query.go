package ldapconn

import (
	"bytes"
	"errors"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// More tags of RFC 4511, of the messages that a stream speaks itself.
const (
	tagBindRequest   = 0x60
	tagBindResponse  = 0x61
	tagSearchRequest = 0x63
	tagSearchEntry   = 0x64
	tagSearchDone    = 0x65
	tagSimple        = 0x80
	tagSet           = 0x31
)

// pagedResults is the control of RFC 2696.
const pagedResults = "1.2.840.113556.1.4.319"

// A Query is a search that a Stream reads.
type Query struct {
	Base       string
	Filter     string
	Attributes []string
	Page       int // entries per page
}

// A Row is one entry of a stream, valid until its callback returns. What it gives stays
// valid: its values are parts of one text, of which a part keeps the whole.
type Row struct {
	DN    string
	n     int      // attributes of this entry
	names []string // of them, and of former entries'
	vals  []string // the SETs of values, still encoded
	ends  []int    // of each of them in all
	all   []byte   // room for them, which each entry takes anew
}

// Values returns the values of an attribute, without those of its language variants.
func (r *Row) Values(attribute string) []string {
	var out []string
	for set := r.set(attribute); len(set) > 0; {
		v, rest, err := expect(set, tagOctets)
		if err != nil {
			return out
		}
		out, set = append(out, v), rest
	}
	return out
}

// First returns the first value of an attribute, empty if it has none.
func (r *Row) First(attribute string) string {
	v, _, err := expect(r.set(attribute), tagOctets)
	if err != nil {
		return ""
	}
	return v
}

// set finds an attribute. Servers mostly write names as they were asked for.
func (r *Row) set(attribute string) string {
	for i, n := range r.names[:r.n] {
		if n == attribute {
			return r.vals[i]
		}
	}
	for i, n := range r.names[:r.n] {
		if len(n) == len(attribute) && strings.EqualFold(n, attribute) {
			return r.vals[i]
		}
	}
	return ""
}

// read takes an entry apart, without its values, of which it makes one text. Names are
// mostly those of the entry before.
func (r *Row) read(entry []byte) error {
	r.n, r.vals, r.ends, r.all = 0, r.vals[:0], r.ends[:0], r.all[:0]
	dn, body, err := expect(entry, tagOctets)
	if err != nil {
		return err
	}
	r.DN = string(dn)
	list, _, err := expect(body, tagSequence)
	for err == nil && len(list) > 0 {
		var attr, name, set []byte
		if attr, list, err = expect(list, tagSequence); err != nil {
			return err
		}
		if name, attr, err = expect(attr, tagOctets); err != nil {
			return err
		}
		if set, _, err = expect(attr, tagSet); err != nil {
			return err
		}
		r.name(name)
		r.all = append(r.all, set...)
		r.ends = append(r.ends, len(r.all))
	}
	text, from := string(r.all), 0
	for _, to := range r.ends {
		r.vals, from = append(r.vals, text[from:to]), to
	}
	return err
}

// name notes the name of the next attribute.
func (r *Row) name(name []byte) {
	switch {
	case r.n == len(r.names):
		r.names = append(r.names, string(name))
	case r.names[r.n] != string(name):
		r.names[r.n] = string(name)
	}
	r.n++
}

// result reads an LDAPResult and returns it as go-ldap would, nil for success.
func result(body []byte) error {
	code, body, err := expect(body, tagEnumerated)
	if err != nil {
		return err
	}
	n, err := number(code)
	if err != nil || n == 0 {
		return err
	}
	matched, body, err := expect(body, tagOctets)
	if err != nil {
		return err
	}
	words, _, err := expect(body, tagOctets)
	if err != nil {
		return err
	}
	return &ldap.Error{ResultCode: uint16(min(n, 0xffff)), MatchedDN: string(matched), Err: errors.New(string(words))}
}

// searchRequest encodes a subtree search without limits of its own.
func searchRequest(q Query, filter []byte) []byte {
	var names [][]byte
	for _, a := range q.Attributes {
		names = append(names, text(tagOctets, a))
	}
	return element(tagSearchRequest, text(tagOctets, q.Base),
		integer(tagEnumerated, ldap.ScopeWholeSubtree), integer(tagEnumerated, ldap.NeverDerefAliases),
		integer(tagInteger, 0), integer(tagInteger, 0), element(tagBoolean, []byte{0}),
		filter, element(tagSequence, names...))
}

// paging encodes the controls of a request for one page.
func paging(size int, cookie []byte) []byte {
	value := element(tagSequence, integer(tagInteger, size), element(tagOctets, cookie))
	return element(tagControls, element(tagSequence, text(tagOctets, pagedResults), element(tagOctets, value)))
}

// nextCookie finds the paging control among the controls of an answer. Its cookie is a
// copy. A server without paging sends none: everything came at once.
func nextCookie(rest []byte) ([]byte, error) {
	if len(rest) == 0 {
		return nil, nil
	}
	list, _, err := expect(rest, tagControls)
	for err == nil && len(list) > 0 {
		var control, oid []byte
		if control, list, err = expect(list, tagSequence); err != nil {
			return nil, err
		}
		if oid, control, err = expect(control, tagOctets); err != nil {
			return nil, err
		}
		if string(oid) == pagedResults {
			return cookieOf(control)
		}
	}
	return nil, err
}

// cookieOf reads the rest of a paging control: an optional criticality and the value.
func cookieOf(control []byte) ([]byte, error) {
	tag, value, rest, err := split(control)
	if err == nil && tag == tagBoolean {
		value, _, err = expect(rest, tagOctets)
	}
	if err != nil {
		return nil, err
	}
	if value, _, err = expect(value, tagSequence); err != nil {
		return nil, err
	}
	if _, value, err = expect(value, tagInteger); err != nil {
		return nil, err
	}
	cookie, _, err := expect(value, tagOctets)
	return bytes.Clone(cookie), err
}
