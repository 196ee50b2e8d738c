package ldapconn

import (
	"context"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// maxRanges bounds how often the rest of one attribute is asked for: controllers give
// 1500 values at a time, so this is a group of 150,000.
const maxRanges = 100

// complete reads the rest of attributes that a server gave in part, as Active Directory
// does above 1500 values: member;range=0-1499 (MS-ADTS 3.1.1.3.1.3.3). They bear their
// own name then.
func (c *Conn) complete(ctx context.Context, e *ldap.Entry) error {
	for _, a := range e.Attributes {
		name, next, more := cutRange(a.Name)
		if name == a.Name {
			continue
		}
		for i := 0; more && i < maxRanges; i++ {
			var values []string
			var raw [][]byte
			var err error
			if values, raw, next, more, err = c.rangeOf(ctx, e.DN, name, next); err != nil {
				return err
			}
			a.Values, a.ByteValues = append(a.Values, values...), append(a.ByteValues, raw...)
		}
		a.Name = name
	}
	return nil
}

// rangeOf reads the values of an attribute from one on.
func (c *Conn) rangeOf(ctx context.Context, dn, name string, from int) (values []string, raw [][]byte, next int, more bool, err error) {
	asked := name + ";range=" + strconv.Itoa(from) + "-*"
	found, err := c.ask(ctx, Request(dn, ldap.ScopeBaseObject, 0, "(objectClass=*)", asked))
	if err != nil || len(found.Entries) == 0 {
		return nil, nil, 0, false, err
	}
	for _, a := range found.Entries[0].Attributes {
		if got, last, more := cutRange(a.Name); strings.EqualFold(got, name) && len(a.Values) > 0 {
			return a.Values, a.ByteValues, last, more, nil
		}
	}
	return nil, nil, 0, false, nil
}

// cutRange takes a range option off an attribute description: where the next range
// begins, and whether there is one. Without the option the name stays as it is.
func cutRange(description string) (name string, next int, more bool) {
	name, limits, found := strings.Cut(description, ";range=")
	_, last, bounded := strings.Cut(limits, "-")
	if !found || !bounded {
		return description, 0, false
	}
	if last == "*" {
		return name, 0, false
	}
	n, err := strconv.Atoi(last)
	if err != nil || n < 0 {
		return description, 0, false
	}
	return name, n + 1, true
}
