package policy

import (
	"reflect"
	"testing"

	"github.com/postern-id/postern/protocol"
)

func TestAPhotoAddsPeopleAndReplacesNothing(t *testing.T) {
	ask := func(s Strength, photo bool, a protocol.Action, accept ...Combination) Decision {
		settings := Default()
		for name := range settings.Policies {
			settings.Policies[name] = Rules{Default: s}
		}
		settings.Methods = Methods{Default: accept}
		return Decide(Request{Action: a, Settings: settings, Traits: protocol.Traits{CanGetTemporaryPassword: true}, Photo: photo})
	}
	mail, wallet := Combination{MailCode}, Combination{DigitalCredential}
	seen := Combination{MailCode, DocumentReview}
	for _, c := range []struct {
		name      string
		got       Decision
		permitted bool
		want      []Combination
	}{
		{"photo without one", ask(Photo, false, "password", mail, seen), false, []Combination{mail, seen}},
		{"photo", ask(Photo, true, "password", mail, wallet, seen), true, []Combination{seen, {DigitalCredential, DocumentReview}, seen}},
		{"a name without a photo", ask(NameMatch, false, "password", mail, wallet), true, []Combination{mail, wallet}},
		{"a name with a photo", ask(NameMatch, true, "password", mail, wallet), true, []Combination{mail, {DigitalCredential, DocumentReview}}},
		{"nothing", ask(Disabled, true, "password", wallet), false, []Combination{wallet}},
		{"my options", ask(Photo, true, protocol.ActionOptions, mail), true, []Combination{seen}},
		{"my options without one", ask(Photo, false, protocol.ActionOptions, mail), false, []Combination{mail}},
		{"signing in waits for nobody", ask(NameMatch, true, protocol.ActionSignIn, wallet, mail), true, []Combination{mail}},
		{"signing in by people alone", ask(Photo, true, protocol.ActionSignIn, mail), false, []Combination{mail}},
	} {
		if c.got.Permitted != c.permitted || !reflect.DeepEqual(c.got.Accept, c.want) {
			t.Errorf("%s: permitted %v, accepts %v", c.name, c.got.Permitted, c.got.Accept)
		}
	}
}
