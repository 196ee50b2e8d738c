package ldap

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/protocol"
)

func TestAccountsAreMapped(t *testing.T) {
	cfg, err := Config{BaseDNs: []string{"dc=x"}, DisabledAttribute: "corpStatus", DisabledValues: []string{"left"}}.complete()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	id := "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
	for name, c := range map[string]struct {
		attributes map[string][]string
		ok         bool
		check      func(protocol.Account) bool
	}{
		"ordinary": {map[string][]string{"entryuuid": {strings.ToUpper(id)}, "MAIL": {"a@x.example", "A@X.example", ""}, "uid": {"a"}, "cn": {"A"}}, true,
			func(a protocol.Account) bool {
				return a.ID == id && strings.Join(a.Identifiers, " ") == "a@x.example a" && a.Name == "A" && !a.Disabled
			}},
		"no id":        {map[string][]string{"cn": {"A"}}, false, nil},
		"a strange id": {map[string][]string{"entryUUID": {"*"}, "cn": {"A"}}, false, nil},
		"display name first": {map[string][]string{"entryUUID": {id}, "displayName": {" Anna\r\nBerg "}, "cn": {"A"}}, true,
			func(a protocol.Account) bool { return a.Name == "Anna  Berg" }},
		"left":           {map[string][]string{"entryUUID": {id}, "corpStatus": {"LEFT"}}, true, func(a protocol.Account) bool { return a.Disabled }},
		"admin lock":     {map[string][]string{"entryUUID": {id}, pwdAccountLockedTime: {adminLock}}, true, func(a protocol.Account) bool { return a.Disabled }},
		"failed sign-in": {map[string][]string{"entryUUID": {id}, pwdAccountLockedTime: {"20260102000000Z"}}, true, func(a protocol.Account) bool { return !a.Disabled }},
		"not yet":        {map[string][]string{"entryUUID": {id}, pwdStartTime: {"20260102030406Z"}}, true, func(a protocol.Account) bool { return a.Disabled }},
		"not any more":   {map[string][]string{"entryUUID": {id}, pwdEndTime: {"20260102030405Z"}}, true, func(a protocol.Account) bool { return a.Disabled }},
		"changed": {map[string][]string{"entryUUID": {id}, entryCSN: {"20251231235959.123456Z#000000#000#000000"}}, true,
			func(a protocol.Account) bool {
				return a.UpdatedAt.Equal(time.Date(2025, 12, 31, 23, 59, 59, 123456000, time.UTC))
			}},
	} {
		a, ok := cfg.account(entry{ldap.NewEntry("uid=a,dc=x", c.attributes)}, nil, now)
		if ok != c.ok || ok && !c.check(a) {
			t.Errorf("%s: %+v, %v", name, a, ok)
		}
	}
}

func TestBirthDatesInEveryForm(t *testing.T) {
	for in, want := range map[string]string{
		"1985-03-09": "1985-03-09", "19850309": "1985-03-09", "19850309000000Z": "1985-03-09", "19850309000000.0Z": "1985-03-09",
		"": "", "9.3.1985": "", "1985-13-01": "", "0": "", strings.Repeat("1", 40): "",
	} {
		if got, ok := birthDate(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, ok, want)
		}
	}
}

func TestContactsNeverHoldTheRecoveredAddress(t *testing.T) {
	cfg, err := Config{BaseDNs: []string{"dc=x"}, MailAttributes: []string{"mail", "home"}, PhoneAttributes: []string{"mobile"}}.complete()
	if err != nil {
		t.Fatal(err)
	}
	e := ldap.NewEntry("uid=a,dc=x", map[string][]string{
		"mail": {"a@corp.example"}, "uid": {"a"}, "home": {"A@Corp.Example", "a@home.example", "no address", "a@home.example", "x@y@z.example", "b@home.example\r\nBcc: all"}, "mobile": {"+49 1", " "},
	})
	got := cfg.contacts(entry{e})
	if strings.Join(got.Mail, " ") != "a@home.example" || strings.Join(got.Primary, " ") != "a@corp.example" || strings.Join(got.Phone, " ") != "+49 1" {
		t.Errorf("%+v", got)
	}
}

func TestALockEndsWithItsTime(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		value string
		lasts time.Duration
		want  bool
	}{
		{"20260102030000Z", 0, true}, {"20260102030000Z", time.Hour, true}, {"20260102030000Z", time.Minute, false},
		{adminLock, 0, false}, {"", 0, false}, {"nonsense", 0, false},
	} {
		p := policy{lockFor: c.lasts}
		if got := p.lockedSince(c.value, now) != ""; got != c.want {
			t.Errorf("%q for %s: %v, want %v", c.value, c.lasts, got, c.want)
		}
	}
}

func TestStampsWaitOnlyWhereASecondMayRepeat(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		changed, change string
		want            bool
	}{
		"never set":                        {"", "20260102030405.1Z#000000#000#000000", false},
		"this second":                      {"20260102030405Z", "20260102030405.100000Z#000000#000#000000", true},
		"this second, changed a later one": {"20260102030404Z", "20260102030405.100000Z#000000#000#000000", false},
		"the server's clock is ahead":      {"20260102030905Z", "20260102030905.100000Z#000000#000#000000", true},
		"the server's clock is behind":     {"20260102025905Z", "20260102025905.100000Z#000000#000#000000", true},
		"long ago":                         {"20250102030405Z", "20250102030405.100000Z#000000#000#000000", false},
	} {
		if got := (stamp{Changed: c.changed, Change: c.change}).mayRepeat(now, true); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestBranchesWithinOthersAreReadOnce(t *testing.T) {
	got := outermost([]string{"ou=people,dc=x", "dc=x", "OU=People,DC=x", "dc=y", "DC=X"})
	if strings.Join(got, " ") != "dc=x dc=y" {
		t.Errorf("%q", got)
	}
}

func FuzzMapping(f *testing.F) {
	f.Add("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", "a@x.example", "Anna", "20260102030405.1Z#000000#000#000000", "1985-03-09")
	f.Add("*", "\xff\x00", "\r\n", "#", "0")
	cfg, err := Config{BaseDNs: []string{"dc=x"}, BirthDateAttribute: "born", MailAttributes: []string{"cn"}, DisabledAttribute: "born", DisabledValues: []string{"x"}}.complete()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, mail, name, change, born string) {
		e := entry{ldap.NewEntry("uid=a,dc=x", map[string][]string{entryUUID: {id}, "mail": {mail}, "cn": {name}, entryCSN: {change}, "born": {born}, pwdEndTime: {change}})}
		a, ok := cfg.account(e, []byte("key"), time.Now())
		if ok && (len(a.ID) != 36 || a.ID != strings.ToLower(a.ID) || !utf8.ValidString(a.Name) || len(a.Name) > maxName) {
			t.Errorf("%+v", a)
		}
		if ok && born != "" && strings.Contains(a.BirthDate, born) && len(born) > 4 {
			t.Errorf("a birth date in clear: %s", a.BirthDate)
		}
		for _, m := range cfg.contacts(e).Mail {
			if strings.ContainsAny(m, "\r\n \x00") {
				t.Errorf("an address with a line end: %q", m)
			}
		}
		_ = cfg.groupOf(e.Entry)
		_, _ = readStamp(born)
	})
}
