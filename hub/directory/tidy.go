package directory

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/postern-id/postern/protocol"
)

// Bounds of what is taken over of one account. A directory that goes beyond them is
// odd; an agent that does is hostile.
const (
	maxID          = 256 // bytes
	maxName        = 256
	maxIdentifier  = 320 // the longest mail address, RFC 3696 erratum 1690
	maxIdentifiers = 64
	maxGroups      = 2000
	maxState       = 64 << 10 // what an agent wants to be given back; Active Directory's cookie is the longest
)

// tidy returns an account in the form that is stored: what is printed is one line, what
// is compared is whole, and everything is bounded. It reports whether it is an account.
func tidy(a protocol.Account) (protocol.Account, bool) {
	if !usable(a.ID, maxID) {
		return a, false
	}
	a.Name = line(a.Name, maxName)
	if unusable := func(s string) bool { return !usable(s, maxIdentifier) }; slices.ContainsFunc(a.Identifiers, unusable) {
		a.Identifiers = slices.DeleteFunc(slices.Clone(a.Identifiers), unusable)
	}
	a.Identifiers = a.Identifiers[:min(len(a.Identifiers), maxIdentifiers)]
	if !usable(a.BirthDate, maxID) {
		a.BirthDate = ""
	}
	a.Groups = slices.Clone(a.Groups[:min(len(a.Groups), maxGroups)])
	a.Groups = slices.DeleteFunc(a.Groups, func(g protocol.Group) bool { return !usable(g.ID, maxID) })
	for i, g := range a.Groups {
		a.Groups[i] = protocol.Group{ID: g.ID, Name: line(g.Name, maxName), Kind: line(g.Kind, maxName)}
	}
	return a, true
}

// usable reports whether a value that is compared can be taken as it is.
func usable(s string, n int) bool {
	return s != "" && len(s) <= n && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}
