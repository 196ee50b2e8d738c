package policy

import (
	"reflect"
	"testing"
)

func TestT17_RootsKeepEveryWayInWhichSomethingMayHaveBeenProven(t *testing.T) {
	mail, sms, doc := RootsOf(MailCode), RootsOf(SMSCode), RootsOf(DigitalCredential)
	for name, x := range map[string]struct{ got, want Roots }{
		"together":                {mail.With(doc), Roots{{DigitalCredential, MailCode}}},
		"twice":                   {mail.With(mail), mail},
		"one of two":              {mail.Or(sms), Roots{{MailCode}, {SMSCode}}},
		"one of two, and another": {mail.Or(sms).With(doc), Roots{{DigitalCredential, MailCode}, {DigitalCredential, SMSCode}}},
		"more is never weaker":    {mail.Or(mail.With(doc)), mail},
		"nothing known, and mail": {Roots(nil).With(mail), mail},
	} {
		if !reflect.DeepEqual(x.got, x.want) {
			t.Errorf("%s: %v, want %v", name, x.got, x.want)
		}
		if back := RootsNamed(x.got.Texts()); !reflect.DeepEqual(back, x.got) {
			t.Errorf("%s: kept as %v", name, back)
		}
	}
	wide := Roots(nil)
	for _, row := range MethodTable {
		for _, other := range MethodTable {
			wide = wide.Or(Roots{{row.Method, other.Method, Method(string(row.Method) + string(other.Method))}})
		}
	}
	if len(wide) > maxRoots {
		t.Errorf("%d ways are kept", len(wide))
	}
}
