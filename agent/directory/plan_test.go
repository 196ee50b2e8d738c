package directory

import (
	"testing"

	"github.com/postern-id/postern/protocol"
)

func TestPlanReadsWhatIsAsked(t *testing.T) {
	for text, want := range map[string]Plan{
		"get_temporary_password":                         {Reset: true},
		"get_temporary_password?must_change=false":       {Reset: true},
		"get_temporary_password?must_change=true":        {Reset: true, MustChange: true},
		"get_temporary_password?must_change=true,unlock": {Reset: true, MustChange: true, Unlock: true},
		"remove_all_mfa,unlock":                          {RemoveMFA: true, Unlock: true},
	} {
		tasks, err := protocol.ParseTasks(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := PlanOf(tasks); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestPlanRefusesWhatNoKindCanDo(t *testing.T) {
	for name, c := range map[string]struct {
		tasks []protocol.Task
		want  protocol.Code
	}{
		"nothing":       {nil, protocol.CodeBadRequest},
		"a link":        {[]protocol.Task{{Operation: protocol.GetPasswordLink}}, protocol.CodeUnsupported},
		"unknown":       {[]protocol.Task{{Operation: "format_disk"}}, protocol.CodeUnsupported},
		"twice":         {[]protocol.Task{{Operation: protocol.Unlock}, {Operation: protocol.Unlock}}, protocol.CodeBadRequest},
		"bad parameter": {[]protocol.Task{{Operation: protocol.GetTemporaryPassword, Params: map[string]string{"must_change": "maybe"}}}, protocol.CodeBadRequest},
	} {
		if _, err := PlanOf(c.tasks); protocol.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
