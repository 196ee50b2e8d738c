package agentcode

import (
	"context"
	"errors"
	"testing"

	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
)

// agent keeps one code, as an agent does, and says what it was asked.
type agent struct {
	code  string
	asked []protocol.Method
	err   error
}

func (a *agent) CallAgent(_ context.Context, _, _, _ string, m protocol.Method, req, resp any) error {
	a.asked = append(a.asked, m)
	switch r := resp.(type) {
	case *protocol.SentCode:
		a.code, r.Masked = "12345678", []string{"k•••@x.org"}
	case *protocol.CheckedCode:
		r.OK = req.(protocol.CheckCodeRequest).Code == a.code
	}
	return a.err
}

func TestTheAgentMakesAndChecksTheCode(t *testing.T) {
	a := &agent{}
	v := New(a)
	s := verify.Subject{Agent: "a1", Recovery: "r1", Traits: protocol.Traits{CanSendCode: true}}
	c, err := v.Open(t.Context(), s)
	if err != nil || len(a.asked) > 0 {
		t.Fatalf("%v, asked %v before the challenge is kept", err, a.asked)
	}
	if to, err := c.Send(t.Context()); err != nil || len(to) != 1 {
		t.Fatal(to, err)
	}
	for answer, want := range map[string]bool{"1234 5678": true, "12345679": false} {
		if got, err := v.Check(t.Context(), s, c.Text, answer); err != nil || got.Right != want {
			t.Errorf("%s: %v %v", answer, got, err)
		}
	}
}

func TestAnAgentThatSentNothingIsNotAsked(t *testing.T) {
	a := &agent{}
	v := New(a)
	s := verify.Subject{Agent: "a1", Recovery: "r1"}
	for _, challenge := range []string{"", "random", prefix + "another"} {
		if got, err := v.Check(t.Context(), s, challenge, "12345678"); got.Right || err != nil {
			t.Errorf("%q: %v %v", challenge, got, err)
		}
	}
	if got, _ := v.Check(t.Context(), s, prefix+"r1", "not a code"); got.Right || len(a.asked) > 0 {
		t.Errorf("asked %v", a.asked)
	}
	if v.Usable(t.Context(), s) {
		t.Error("usable without a mail route of the agent")
	}
}

func TestAnAgentThatIsAwayJudgesNothing(t *testing.T) {
	a := &agent{err: protocol.Err(protocol.CodeUnavailable, "gone")}
	got, err := New(a).Check(t.Context(), verify.Subject{Recovery: "r1"}, prefix+"r1", "12345678")
	if got.Right || !errors.Is(err, &protocol.Error{Code: protocol.CodeUnavailable}) {
		t.Errorf("%v %v", got, err)
	}
}
