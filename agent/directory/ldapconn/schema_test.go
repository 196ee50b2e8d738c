package ldapconn

import (
	"reflect"
	"testing"
)

// definitions are those that OpenLDAP 2.6 and 389-ds give, and one made to mislead.
var definitions = []string{
	`( 2.5.4.20 NAME 'telephoneNumber' DESC 'RFC2256: Telephone Number' EQUALITY telephoneNumberMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.50{32} )`,
	`( 0.9.2342.19200300.100.1.41 NAME ( 'mobile' 'mobileTelephoneNumber' ) DESC 'RFC1274' SYNTAX 1.3.6.1.4.1.1466.115.121.1.50 )`,
	`( 2.16.840.1.113730.3.1.241 NAME 'displayName' DESC 'it isn\27t NO-USER-MODIFICATION' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )`,
	`( 1.3.6.1.1.16.4 NAME 'entryUUID' SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )`,
	`( 1.2.3 NAME 'odd' DESC 'NAME ( mail SINGLE-VALUE' SYNTAX 1.2 )`,
}

func TestTheSchemaSaysWhatMayBeWritten(t *testing.T) {
	for name, want := range map[string]AttributeRule{
		"telephonenumber": {Names: []string{"telephoneNumber"}}, "mobileTelephoneNumber": {Names: []string{"mobile", "mobileTelephoneNumber"}},
		"mobile": {Names: []string{"mobile", "mobileTelephoneNumber"}}, "displayName": {Single: true, Names: []string{"displayName"}},
		"entryUUID": {Single: true, ReadOnly: true, Names: []string{"entryUUID"}}, "odd": {Names: []string{"odd"}},
	} {
		if got, found := RuleOf(definitions, name); !found || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, found, want)
		}
	}
	for _, name := range []string{"mail", "RFC1274", "(", "", "'"} {
		if got, found := RuleOf(definitions, name); found {
			t.Errorf("%q is there: %+v", name, got)
		}
	}
}

func FuzzRuleOf(f *testing.F) {
	for _, d := range definitions {
		f.Add(d, "mobile")
	}
	f.Add("NAME '", "")
	f.Fuzz(func(t *testing.T, definition, name string) {
		got, found := RuleOf([]string{definition}, name)
		if again, still := RuleOf([]string{definition}, name); !reflect.DeepEqual(again, got) || still != found {
			t.Error("two answers")
		}
	})
}
