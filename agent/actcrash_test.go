//go:build unix

package agent

import (
	"testing"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/auditlog"
)

// An agent that dies while it carries an account operation out neither does it twice nor
// forgets it: what the account itself does not show, a person must look at.
func TestT14_AgentKilledAroundAnAccountOperationNeitherDoesItTwiceNorForgetsIt(t *testing.T) {
	v := protocol.NewAttributeValues([]string{"+49 30 1"})
	setting := protocol.Task{Operation: protocol.SetAttribute, Params: map[string]string{protocol.ParamAttribute: "telephoneNumber"}}.With(v).String()
	for _, c := range []struct {
		point  string
		writes int            // by the killed process
		state  protocol.State // as the journal then settles; "" if it knows nothing
	}{
		{killInFacts, 0, ""}, {killBefore, 0, protocol.Unknown}, {killAfter, 1, protocol.Done}, {killAfterWrite, 1, protocol.Done},
	} {
		for _, operation := range []string{"disable", setting} {
			var values *protocol.AttributeValues
			if operation == setting {
				values = &v
			}
			t.Run(c.point+" "+operation[:7], func(t *testing.T) {
				r, frame := actCrashAt(t, c.point, operation, values)
				if n := r.company.writes(t); n != c.writes {
					t.Fatalf("%d writes before the crash; want %d", n, c.writes)
				}
				out, err := ask[protocol.Outcome](t, r.service, protocol.MethodOutcome, protocol.OutcomeRequest{Context: frame.Context})
				if c.state == "" {
					if protocol.CodeOf(err) != protocol.CodeNotBegun {
						t.Fatalf("%+v, %v", out, err)
					}
					return
				}
				if err != nil || out.State != c.state {
					t.Fatalf("%+v, %v; want %s", out, err, c.state)
				}
				frame.ID = "again"
				if out := r.performed(t, frame); out.State != c.state || !out.Replayed || r.company.writes(t) != c.writes {
					t.Errorf("asked once more: %+v, %d writes", out, r.company.writes(t))
				}
			})
		}
	}
}

// actCrashAt is crashAt for an account operation.
func actCrashAt(t *testing.T, point, operation string, values *protocol.AttributeValues) (*rig, protocol.PerformRequest) {
	t.Helper()
	r := newRig(t, setRules())
	q := protocol.BeginRequest{Recovery: hubPart(), Account: accountID(1), Operation: operation, Origin: "console.example", Values: values}
	b, err := ask[protocol.Begun](t, r.service, protocol.MethodBegin, q)
	if err != nil || b.Finding != nil {
		t.Fatal(b.Finding, err)
	}
	f := r.request(q, b)
	f.Members.Recipient, f.Evidence, f.Values = nil, nil, values
	f.Context = f.Members.Context()
	r.kill(t, point, f)
	f.Log = auditlog.Proof{} // proven anew in this process
	r.start(t)
	return r, f
}
