// Package agentcode proves that a person reads an address that the agent itself knows:
// the agent makes, sends and checks the code over its own mail route, so the hub never
// has it. It knows no addresses and counts no tries.
package agentcode

import (
	"context"
	"strings"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// An Agents asks the agent that began a recovery.
type Agents interface {
	CallAgent(ctx context.Context, env, directory, agent string, m protocol.Method, req, resp any) error
}

// A Verifier is the method agent_code.
type Verifier struct{ agents Agents }

// New returns the method.
func New(agents Agents) *Verifier { return &Verifier{agents} }

// prefix marks a challenge that the agent holds. Where nothing was sent the challenge
// is random and the agent is not asked.
const prefix = "agent:"

// Method implements verify.Verifier.
func (*Verifier) Method() policy.Method { return policy.AgentCode }

// Usable reports whether the agent has a mail route and began this recovery. Whether
// the account has an address, only the agent knows.
func (*Verifier) Usable(_ context.Context, s verify.Subject) bool {
	return s.Traits.CanSendCode && s.Agent != ""
}

// Open prepares for a code that the agent makes when it sends it.
func (v *Verifier) Open(_ context.Context, s verify.Subject) (verify.Challenge, error) {
	return verify.Challenge{
		Text: prefix + s.Recovery,
		Send: func(ctx context.Context) ([]string, error) { return v.send(ctx, s) },
	}, nil
}

func (v *Verifier) send(ctx context.Context, s verify.Subject) ([]string, error) {
	var sent protocol.SentCode
	req := protocol.SendCodeRequest{Recovery: s.Recovery, Language: s.Language}
	err := v.agents.CallAgent(ctx, s.Env, s.Directory, s.Agent, protocol.MethodSendCode, req, &sent)
	return sent.Masked, err
}

// Check asks the agent.
func (v *Verifier) Check(ctx context.Context, s verify.Subject, challenge, answer string) (verify.Verdict, error) {
	recovery, sent := strings.CutPrefix(challenge, prefix)
	code := verify.CleanCode(answer)
	if !sent || recovery != s.Recovery || code == "" {
		return verify.Verdict{}, nil
	}
	var checked protocol.CheckedCode
	req := protocol.CheckCodeRequest{Recovery: s.Recovery, Code: code}
	err := v.agents.CallAgent(ctx, s.Env, s.Directory, s.Agent, protocol.MethodCheckCode, req, &checked)
	return verify.Attested(err == nil && checked.OK, evidence.TypeAgentCode), err
}
