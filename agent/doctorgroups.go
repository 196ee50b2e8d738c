package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol"
)

// examineGroups bounds the groups that are read to find one by its id.
const examineGroups = 1000

// groups warns of groups that the file names and the directory does not know: a name
// that is misspelt protects nobody, and nothing else would say so.
func (x *examination) groups(ctx context.Context, dir directory.Reader, r guard.Rules) {
	var strict []string
	for _, g := range x.o.Config.Evidence.Groups {
		if g.Group != proof.Everybody {
			strict = append(strict, g.Group)
		}
	}
	for _, list := range []struct {
		key   string
		names []string
	}{{"guard.refused_groups", r.RefusedGroups}, {"guard.sensitive_groups", r.SensitiveGroups}, {"evidence.group", strict}} {
		for _, name := range list.names {
			known, err := knowsGroup(ctx, dir, name)
			switch {
			case errors.Is(err, &protocol.Error{Code: protocol.CodeUnsupported}):
				return
			case err != nil:
				x.unusable(list.key, err)
				return
			case !known:
				x.Found(areaGuard, list.key, doctor.GroupUnknown, fmt.Sprintf("the directory has no group %q that this agent can see", name))
			}
		}
	}
}

// knowsGroup reports whether a group has this name or id. Where there are more groups
// than are read it takes an id for known.
func knowsGroup(ctx context.Context, dir directory.Reader, name string) (bool, error) {
	same := func(g protocol.Group) bool {
		return strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(g.Name)) || strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(g.ID))
	}
	named, err := dir.Groups(ctx, protocol.GroupsRequest{Prefix: strings.TrimSpace(name), Max: examineGroups})
	if err != nil || slices.ContainsFunc(named, same) {
		return err == nil, err
	}
	all, err := dir.Groups(ctx, protocol.GroupsRequest{Max: examineGroups})
	return slices.ContainsFunc(all, same) || len(all) >= examineGroups && looksLikeID(name), err
}

// looksLikeID reports whether a text has the form of a GUID, a SID or a distinguished
// name, rather than that of a name.
func looksLikeID(text string) bool {
	return strings.ContainsAny(text, "=") || strings.HasPrefix(strings.ToUpper(text), "S-1-") || strings.Count(text, "-") == 4 && len(text) == len("00000000-0000-0000-0000-000000000000")
}
