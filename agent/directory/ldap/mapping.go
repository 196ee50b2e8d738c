package ldap

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/protocol"
)

// Bounds of what is taken from a directory or from outside.
const (
	maxIdentifier = 320 // bytes of a mail address, RFC 3696 erratum 1690
	maxID         = 256
	maxName       = 1024
)

// Attributes of the ppolicy overlay (draft-behera-ldap-password-policy-10 §5.3).
const (
	pwdAccountLockedTime = "pwdAccountLockedTime"
	pwdChangedTime       = "pwdChangedTime"
	pwdPolicySubentry    = "pwdPolicySubentry"
	pwdReset             = "pwdReset"
	pwdStartTime         = "pwdStartTime"
	pwdEndTime           = "pwdEndTime"
	userPassword         = "userPassword"
)

// adminLock is the value of pwdAccountLockedTime that no lapse of time ends.
const adminLock = "000001010000Z"

// A source gives the values of an entry, wherever it was read.
type source interface {
	Values(attribute string) []string
	First(attribute string) string // "" if there is none
}

// An entry is go-ldap's, as a source.
type entry struct{ *ldap.Entry }

// Values implements source.
func (e entry) Values(attribute string) []string { return e.GetEqualFoldAttributeValues(attribute) }

// First implements source.
func (e entry) First(attribute string) string { return e.GetEqualFoldAttributeValue(attribute) }

func first(s source, attribute string) string {
	if attribute == "" {
		return ""
	}
	return s.First(attribute)
}

// accountAttributes are what a list reads.
func (cfg Config) accountAttributes() []string {
	names := []string{cfg.IDAttribute, cfg.ChangeAttribute}
	if cfg.ppolicy() {
		names = append(names, pwdAccountLockedTime, pwdStartTime, pwdEndTime)
	}
	names = append(append(names, cfg.Identifiers...), cfg.NameAttributes...)
	for _, n := range []string{cfg.BirthDateAttribute, cfg.DisabledAttribute} {
		if n != "" {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.CompactFunc(names, strings.EqualFold)
}

// account maps an entry. An entry without a usable id gives none.
func (cfg Config) account(s source, birthDateKey []byte, now time.Time) (protocol.Account, bool) {
	id, err := cfg.canonicalID(first(s, cfg.IDAttribute))
	if err != nil {
		return protocol.Account{}, false
	}
	a := protocol.Account{ID: id, Identifiers: cfg.identifiers(s), Disabled: cfg.disabled(s, now)}
	for _, n := range cfg.NameAttributes {
		if a.Name = clean(first(s, n)); a.Name != "" {
			break
		}
	}
	a.UpdatedAt, _ = changeTime(first(s, cfg.ChangeAttribute))
	if date, ok := birthDate(first(s, cfg.BirthDateAttribute)); ok && len(birthDateKey) > 0 {
		a.BirthDate = protocol.BirthDateHash(birthDateKey, id, date)
	}
	return a, true
}

// identifiers returns the values that employees may type, each once.
func (cfg Config) identifiers(s source) []string {
	out := make([]string, 0, len(cfg.Identifiers))
	for _, n := range cfg.Identifiers {
		for _, v := range s.Values(n) {
			if checkText(v, maxIdentifier) && !slices.ContainsFunc(out, func(o string) bool { return strings.EqualFold(o, v) }) {
				out = append(out, v)
			}
		}
	}
	return out
}

// disabled reports whether an administrator switched the account off.
func (cfg Config) disabled(s source, now time.Time) bool {
	return cfg.ppolicy() && cfg.adminLocked(s, now) || cfg.marked(s)
}

// adminLocked reports whether ppolicy keeps everybody out of the account for good, or
// before or after a time.
func (cfg Config) adminLocked(s source, now time.Time) bool {
	if first(s, pwdAccountLockedTime) == adminLock {
		return true
	}
	if t, ok := generalizedTime(first(s, pwdStartTime)); ok && now.Before(t) {
		return true
	}
	return cfg.past(s, now)
}

// past reports whether ppolicy's end of the account is over.
func (cfg Config) past(s source, now time.Time) bool {
	t, ok := generalizedTime(first(s, pwdEndTime))
	return cfg.ppolicy() && ok && !now.Before(t)
}

// ended reports whether the account is off by its end alone: nobody has switched it off.
func (cfg Config) ended(s source, now time.Time) bool {
	return cfg.past(s, now) && first(s, pwdAccountLockedTime) != adminLock && !cfg.marked(s)
}

// marked reports whether disabled_attribute switches the account off.
func (cfg Config) marked(s source) bool {
	return cfg.DisabledAttribute != "" && slices.ContainsFunc(s.Values(cfg.DisabledAttribute), func(v string) bool { return containsFold(cfg.DisabledValues, v) })
}

// isUUID reports whether ids have the form of a UUID, so that they are parsed.
func (cfg Config) isUUID() bool {
	return strings.EqualFold(cfg.IDAttribute, entryUUID) || strings.EqualFold(cfg.IDAttribute, nsUniqueID)
}

// uuidAttribute holds the UUID of any entry, which RFC 4533 names entries by.
func (cfg Config) uuidAttribute() string { return cfg.UUIDAttribute }

// parseUUID reads a UUID in its usual form, or in four groups of eight digits as 389-ds
// stores it.
func (cfg Config) parseUUID(text string) (canonical string, raw [16]byte, err error) {
	if len(text) == 35 && text[8] == '-' && text[17] == '-' && text[26] == '-' {
		d := text[:8] + text[9:17] + text[18:26] + text[27:]
		text = d[:8] + "-" + d[8:12] + "-" + d[12:16] + "-" + d[16:20] + "-" + d[20:]
	}
	return ldapconn.ParseUUID(text)
}

// storedUUID is a UUID as an attribute holds it.
func storedUUID(attribute string, raw [16]byte) string {
	text := ldapconn.FormatUUID(raw)
	if !strings.EqualFold(attribute, nsUniqueID) {
		return text
	}
	d := strings.ReplaceAll(text, "-", "")
	return d[:8] + "-" + d[8:16] + "-" + d[16:24] + "-" + d[24:]
}

// canonicalID brings an id into its one form: UUIDs lower-case and dashed, others as
// the directory gives them. The error is CodeBadRequest.
func (cfg Config) canonicalID(id string) (string, error) {
	if cfg.isUUID() {
		canonical, _, err := cfg.parseUUID(id)
		return canonical, err
	}
	if !checkText(id, maxID) {
		return "", protocol.Err(protocol.CodeBadRequest, "the account's id is empty, too long or not plain text")
	}
	return id, nil
}

// checkText accepts readable text of 1 to limit bytes.
func checkText(s string, limit int) bool {
	if plain(s) {
		return len(s) <= limit && strings.Trim(s, " ") != ""
	}
	return len(s) <= limit && strings.TrimSpace(s) != "" && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// plain holds for what is readable ASCII, as most texts are.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// clean makes a name fit to show: readable, in one line, not endless.
func clean(s string) string {
	if plain(s) && len(s) <= maxName {
		return strings.Trim(s, " ")
	}
	s = strings.ToValidUTF8(s, "")
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s))
	if len(s) > maxName {
		s = strings.ToValidUTF8(s[:maxName], "")
	}
	return s
}

// generalizedTime reads the times that LDAP servers write (RFC 4517 §3.3.13): UTC,
// with seconds, perhaps with a fraction of up to nine digits.
func generalizedTime(s string) (time.Time, bool) {
	const whole = len("20060102150405")
	if len(s) <= whole || s[len(s)-1] != 'Z' {
		return time.Time{}, false
	}
	var ok [7]bool
	year, month, day := digits(s[:4], &ok[0]), digits(s[4:6], &ok[1]), digits(s[6:8], &ok[2])
	hour, minute, second := digits(s[8:10], &ok[3]), digits(s[10:12], &ok[4]), digits(s[12:14], &ok[5])
	fraction := s[whole : len(s)-1]
	nano := 0
	if ok[6] = fraction == ""; !ok[6] && fraction[0] == '.' && len(fraction) > 1 && len(fraction) <= 10 {
		nano = digits((fraction[1:] + "00000000")[:9], &ok[6])
	}
	if ok != [7]bool{true, true, true, true, true, true, true} || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nano, time.UTC)
	return t, t.Month() == time.Month(month) && t.Day() == day // the date exists
}

// digits reads a number of digits alone, of which ok says whether it was one.
func digits(s string, ok *bool) (n int) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0
		}
		n = 10*n + int(s[i]-'0')
	}
	*ok = true
	return n
}

// changeTime reads the time from an entryCSN ("time#count#server#mod") or a timestamp.
func changeTime(s string) (time.Time, bool) {
	stamp, _, _ := strings.Cut(s, "#")
	return generalizedTime(stamp)
}

// birthDate reads a date in one of the forms that directories use.
func birthDate(s string) (string, bool) {
	if s == "" || len(s) > len("20060102150405.999999Z") {
		return "", false
	}
	for _, form := range []string{time.DateOnly, "20060102"} {
		if t, err := time.Parse(form, s); err == nil {
			return t.Format(time.DateOnly), true
		}
	}
	if t, ok := generalizedTime(s); ok {
		return t.Format(time.DateOnly), true
	}
	return "", false
}

// isMail reports whether a value can be written to.
func isMail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && strings.Contains(domain, ".") && !strings.Contains(domain, "@") &&
		checkText(s, maxIdentifier) && strings.IndexFunc(s, unicode.IsSpace) < 0
}
