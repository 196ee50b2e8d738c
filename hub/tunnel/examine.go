package tunnel

import (
	"context"

	"github.com/postern-id/postern/protocol"
)

// Examine asks an agent how it is: the fixed part of its own examination, which reads and
// is answered in words of a closed list, six times an hour (T33). Errors are
// *protocol.Error: CodeRateLimited, CodeUnsupported where the agent speaks the public
// protocol or is an older one, CodeUnavailable if it is not connected.
func (t *Tunnels) Examine(ctx context.Context, env, directory, agent string) (protocol.Examination, error) {
	var e protocol.Examination
	to := To{Env: env, Directory: directory, Agent: agent}
	if err := t.Call(ctx, to, protocol.MethodExamine, protocol.PrioritySync, protocol.Empty{}, &e); err != nil {
		return protocol.Examination{}, err
	}
	return e.Known(), nil
}
