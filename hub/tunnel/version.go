package tunnel

import (
	"context"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// module is what the hub's version is that of, in a program of ours or of another's.
const module = "github.com/postern-id/postern"

// ownVersion is the version of the hub in this program, "" if the build does not say.
var ownVersion = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module {
			return strings.Trim(m.Version, "()")
		}
	}
	return ""
})

// guardDiffers reports whether another active agent of the directory has other rules than
// hash (T20). One that has never said any does not count.
func guardDiffers(ctx context.Context, tx *store.Tx, of store.Agent, hash string) (bool, error) {
	all, err := tx.Agents(ctx, of.Env, of.Directory)
	for _, other := range all {
		if other.ID != of.ID && other.State == protocol.AgentActive && other.GuardHash != "" && hash != "" && other.GuardHash != hash {
			return true, nil
		}
	}
	return false, err
}
