package proof

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol/evidence"
)

func TestT05_NoOrderOfTheRulesMakesAStrictGroupWeaker(t *testing.T) {
	staff := Rule{Group: "Staff", Delay: settings.Duration{Duration: time.Hour}}
	executives := Rule{Group: "Executives", RequireAgentVerifiable: true, Methods: [][]string{{MethodPasskey}}}
	for _, rules := range [][]Rule{{staff, executives}, {executives, staff}} {
		got := Settings{Groups: rules}.TermsFor([]string{"Staff", "Executives"}, false)
		if !got.Strict || !reflect.DeepEqual(got.Methods, executives.Methods) {
			t.Errorf("rules %v give %+v", rules, got)
		}
	}
	if got := (Settings{Groups: []Rule{staff, executives}}).TermsFor([]string{"Staff", "Executives"}, false); got.Delay != time.Hour {
		t.Errorf("delay %v", got.Delay)
	}
}

func TestT17_AnApproverNeedsWhatEveryRuleAsks(t *testing.T) {
	admins := Rule{Group: "Admins", RequireAgentVerifiable: true, Methods: [][]string{{MethodPasskey, MethodDigitalCredential}}}
	all := Rule{Group: Everybody, RequireAgentVerifiable: true, Approvals: 2}
	for _, rules := range [][]Rule{{admins, all}, {all, admins}} {
		s := Settings{Groups: rules}
		got := s.Strictest(s.TermsFor([]string{"Admins"}, false))
		if got.Proven([]string{MethodAgentCode}) || got.Proven([]string{MethodPasskey}) || !got.Proven([]string{MethodPasskey, MethodDigitalCredential}) || got.Approvals != 2 {
			t.Errorf("rules %v give %+v", rules, got)
		}
	}
}

func TestBothAreTheSmallestThatSatisfyTwo(t *testing.T) {
	got := both([][]string{{"a", "b"}, {"c"}}, [][]string{{"a"}, {"c"}, {"d"}})
	for _, c := range got {
		slices.Sort(c)
	}
	if want := [][]string{{"a", "b"}, {"c"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestT15_OneApprovalOfSeveralDoesNotIdentify(t *testing.T) {
	two := Terms{Strict: true, Methods: [][]string{{MethodDigitalCredential}, {MethodApproval}}, Approvals: 2}
	pieces := []Piece{{Type: evidence.TypeMDoc, Method: MethodDigitalCredential}, {Type: evidence.TypeApproval, Method: MethodApproval, person: "p1"}}
	if v := (Verdict{Pieces: pieces, Proven: provenBy(pieces, two)}); identified(v) {
		t.Error("one approval of two says whose account it is")
	}
	pieces = append(pieces, Piece{Type: evidence.TypeApproval, Method: MethodApproval, person: "p2"})
	if v := (Verdict{Pieces: pieces, Proven: provenBy(pieces, two)}); !identified(v) {
		t.Error("two approvals do not")
	}
}
