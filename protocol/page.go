package protocol

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// bodied is an answer that has a form besides JSON, where it fits that.
type bodied interface {
	appendBody(b []byte) (body []byte, ok bool)
}

// bodyReader reads that form. ok is false for a body in JSON.
type bodyReader interface {
	readBody(body []byte) (ok bool, err error)
}

func bodyOf(v any) ([]byte, error) {
	if form, ok := v.(bodied); ok {
		if body, ok := form.appendBody(make([]byte, 0, pageRoom)); ok {
			return body, nil
		}
	}
	if raw, ok := v.(json.RawMessage); ok {
		return raw, nil
	}
	return json.Marshal(v)
}

// ReadBody decodes an answer as Link.Call does.
func ReadBody(body []byte, resp any) error {
	if form, ok := resp.(bodyReader); ok {
		if ok, err := form.readBody(body); ok {
			return err
		}
	}
	return json.Unmarshal(body, resp)
}

// pageRoom is what a page of 1,000 accounts usually takes.
const pageRoom = 160 << 10

// A PackedPage is a ListPage that is sent packed, to a hub that asked for that
// (ListRequest.Packed): each group once, ids that are GUIDs as their 16 bytes. It has a
// third of the size of JSON, and takes a tenth of its work at both ends. A page beyond the
// bounds below is sent as JSON.
type PackedPage ListPage

// packedForm is the first byte of a packed page. JSON begins with another one.
const packedForm = 1

// Bounds of a packed page: what it says in few bytes must not take much memory.
const (
	maxPagedAccounts = 10_000
	maxPagedGroups   = 200_000 // of all accounts together
	maxPagedTexts    = 500_000 // identifiers of all accounts, and ids of deleted ones
)

// errPage is given for a packed page that cannot be read.
var errPage = errors.New("protocol: malformed page")

// Flags of a packed page, and of an account in it.
const (
	pageFull = 1 << 0
	pageDone = 1 << 1

	accountGUID     = 1 << 0
	accountDisabled = 1 << 1
	accountUpdated  = 1 << 2
)

// appendBody implements bodied.
func (p PackedPage) appendBody(b []byte) (body []byte, ok bool) {
	groups, lists, ok := p.groups()
	if !ok {
		return nil, false
	}
	b = append(b, packedForm, bit(p.Full, pageFull)|bit(p.Done, pageDone))
	b = appendTexts(b, p.Pass, p.Fingerprint, p.State)
	b = binary.AppendUvarint(b, uint64(max(p.Total, 0)))
	b = binary.AppendUvarint(b, uint64(len(groups)))
	for _, g := range groups {
		b = appendTexts(b, g.ID, g.Name, g.Kind)
	}
	b = binary.AppendUvarint(b, uint64(len(p.Deleted)))
	b = appendTexts(b, p.Deleted...)
	b = binary.AppendUvarint(b, uint64(len(p.Accounts)))
	for i := range p.Accounts {
		b = append(appendAccount(b, &p.Accounts[i]), lists[listOf(p.Accounts[i].Groups)]...)
	}
	return b, true
}

// A groupList tells one list of groups from others that lie elsewhere: accounts whose
// directory gave them one list have it encoded once.
type groupList struct {
	first *Group
	n     int
}

func listOf(groups []Group) (l groupList) {
	if len(groups) > 0 {
		l = groupList{&groups[0], len(groups)}
	}
	return l
}

// groups gives each group of the page a number, and encodes the lists of them.
func (p PackedPage) groups() (all []Group, lists map[groupList][]byte, ok bool) {
	index := map[Group]uint64{}
	lists = map[groupList][]byte{{}: {0}}
	members, texts := 0, len(p.Deleted)
	for i := range p.Accounts {
		a := &p.Accounts[i]
		members, texts = members+len(a.Groups), texts+len(a.Identifiers)
		if _, known := lists[listOf(a.Groups)]; known {
			continue
		}
		list := binary.AppendUvarint(nil, uint64(len(a.Groups)))
		for _, g := range a.Groups {
			n, known := index[g]
			if !known {
				n = uint64(len(all))
				index[g], all = n, append(all, g)
			}
			list = binary.AppendUvarint(list, n)
		}
		lists[listOf(a.Groups)] = list
	}
	return all, lists, len(p.Accounts) <= maxPagedAccounts && members <= maxPagedGroups && texts <= maxPagedTexts
}

// appendAccount encodes an account without its groups.
func appendAccount(b []byte, a *Account) []byte {
	guid, isGUID := guidBytes(a.ID)
	b = append(b, bit(isGUID, accountGUID)|bit(a.Disabled, accountDisabled)|bit(!a.UpdatedAt.IsZero(), accountUpdated))
	if isGUID {
		b = append(b, guid[:]...)
	} else {
		b = appendTexts(b, a.ID)
	}
	b = appendTexts(b, a.Name, a.BirthDate)
	if !a.UpdatedAt.IsZero() {
		b = binary.AppendUvarint(binary.AppendVarint(b, a.UpdatedAt.Unix()), uint64(a.UpdatedAt.Nanosecond()))
	}
	b = binary.AppendUvarint(b, uint64(len(a.Identifiers)))
	return appendTexts(b, a.Identifiers...)
}

func bit(set bool, b byte) byte {
	if set {
		return b
	}
	return 0
}

func appendTexts(b []byte, all ...string) []byte {
	for _, s := range all {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// guidBytes reads a GUID in the one form that guidText writes.
func guidBytes(s string) (raw [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return raw, false
	}
	said := byte(0)
	for n, i := range guidDigits {
		high, low := digits[s[i]], digits[s[i+1]]
		said |= high | low
		raw[n] = high<<4 | low&0xf
	}
	return raw, said < noDigit
}

// guidDigits are where the digits of each byte stand.
var guidDigits = [16]byte{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// noDigit stands for what is no hexadecimal digit in lower case.
const noDigit = 0x10

// digits are the values of hexadecimal digits.
var digits = func() (all [256]byte) {
	for c := range all {
		switch {
		case c >= '0' && c <= '9':
			all[c] = byte(c - '0')
		case c >= 'a' && c <= 'f':
			all[c] = byte(c - 'a' + 10)
		default:
			all[c] = noDigit
		}
	}
	return all
}()

func guidText(raw string) string {
	var b [36]byte
	in := []byte(raw)
	hex.Encode(b[:8], in[:4])
	hex.Encode(b[9:13], in[4:6])
	hex.Encode(b[14:18], in[6:8])
	hex.Encode(b[19:23], in[8:10])
	hex.Encode(b[24:], in[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// readBody implements bodyReader.
func (p *ListPage) readBody(body []byte) (ok bool, err error) {
	if len(body) == 0 || body[0] != packedForm {
		return false, nil
	}
	u := unpacker{rest: string(body[1:]), left: maxPagedTexts} // one copy, in which all texts lie
	flags := u.byte()
	*p = ListPage{Full: flags&pageFull != 0, Done: flags&pageDone != 0, Pass: u.text(), Fingerprint: u.text(), State: u.text(), Total: int(u.number() & 0x7fffffff)}
	groups := make([]Group, u.count(3, maxPagedGroups))
	for i := range groups { // copies: groups outlive the page
		groups[i] = Group{ID: strings.Clone(u.text()), Name: strings.Clone(u.text()), Kind: strings.Clone(u.text())}
	}
	p.Deleted = u.texts()
	if n := u.count(6, maxPagedAccounts); n > 0 {
		p.Accounts = make([]Account, n)
	}
	left := maxPagedGroups
	for i := range p.Accounts {
		if u.account(&p.Accounts[i], groups, &left); u.broken {
			break
		}
	}
	if u.broken || len(u.rest) > 0 {
		*p = ListPage{}
		return true, errPage
	}
	return true, nil
}

// An unpacker takes a packed page apart. Once broken it gives nothing.
type unpacker struct {
	rest   string
	left   int // texts that lists may still have
	broken bool
}

func (u *unpacker) account(a *Account, groups []Group, left *int) {
	flags := u.byte()
	if flags&accountGUID == 0 {
		a.ID = u.text()
	} else if raw := u.bytes(16); raw != "" {
		a.ID = guidText(raw)
	}
	a.Name, a.BirthDate, a.Disabled = u.text(), u.text(), flags&accountDisabled != 0
	if flags&accountUpdated != 0 {
		seconds := u.number()
		a.UpdatedAt = time.Unix(int64(seconds>>1)^-int64(seconds&1), int64(u.number()%1e9)).UTC()
	}
	a.Identifiers = u.texts()
	n := u.count(1, *left)
	if n == 0 {
		return
	}
	*left -= n
	a.Groups = make([]Group, n)
	for i := range a.Groups {
		g := u.number()
		if g >= uint64(len(groups)) {
			u.broken = true
			return
		}
		a.Groups[i] = groups[g]
	}
}

// bytes takes n bytes.
func (u *unpacker) bytes(n uint64) string {
	if u.broken || n > uint64(len(u.rest)) {
		u.broken = true
		return ""
	}
	s := u.rest[:n]
	u.rest = u.rest[n:]
	return s
}

func (u *unpacker) byte() byte {
	if s := u.bytes(1); s != "" {
		return s[0]
	}
	return 0
}

// number reads a uvarint.
func (u *unpacker) number() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		c := u.byte()
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	u.broken = true
	return 0
}

func (u *unpacker) text() string { return u.bytes(u.number()) }

// count reads how many things follow, of which each has at least size bytes.
func (u *unpacker) count(size, limit int) int {
	n := u.number()
	if u.broken || n > uint64(limit) || n > uint64(len(u.rest)/size) {
		u.broken = true
		return 0
	}
	return int(n)
}

func (u *unpacker) texts() []string {
	n := u.count(1, u.left)
	if n == 0 {
		return nil
	}
	u.left -= n
	all := make([]string, n)
	for i := range all {
		all[i] = u.text()
	}
	return all
}
