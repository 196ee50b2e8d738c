package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
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
		if !x.grouped(ctx, dir, list.key, list.names) {
			return
		}
	}
}

// grouped looks for the groups of one list, and reports whether the directory could be
// asked for each.
func (x *examination) grouped(ctx context.Context, dir directory.Reader, key string, names []string) bool {
	meant, first, table := slices.Clone(names), -1, ""
	for i, name := range names {
		known, alike, err := knowsGroup(ctx, dir, name)
		switch {
		case errors.Is(err, &protocol.Error{Code: protocol.CodeUnsupported}):
			return false
		case err != nil:
			x.unusable(key, err)
			return false
		case known:
			continue
		}
		var lines []string
		if meant[i] = alike; alike != "" {
			lines = append(lines, "almost the same is "+strconv.Quote(doctor.OneLine(alike)))
		}
		x.Found(areaGuard, key, doctor.GroupUnknown, fmt.Sprintf("the directory has no group %q that this agent can see", name), lines...)
		if first < 0 {
			first = len(x.Steps) - 1
		}
	}
	table, key, _ = strings.Cut(key, ".")
	if first >= 0 && table == "guard" && !slices.Contains(meant, "") {
		var list []string
		for _, name := range meant {
			name = strconv.Quote(name)
			if !slices.ContainsFunc(list, func(o string) bool { return strings.EqualFold(o, name) }) {
				list = append(list, name)
			}
		}
		x.Steps[first].Table, x.Steps[first].Write = table, []string{key + " = [" + strings.Join(list, ", ") + "]"}
	}
	return true
}

// knowsGroup reports whether a group has this name or id, else which one is called almost
// the same. Where there are more groups than are read it takes an id for known.
func knowsGroup(ctx context.Context, dir directory.Reader, name string) (known bool, alike string, err error) {
	same := func(g protocol.Group) bool {
		return strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(g.Name)) || strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(g.ID))
	}
	named, err := dir.Groups(ctx, protocol.GroupsRequest{Prefix: strings.TrimSpace(name), Max: examineGroups})
	if err != nil || slices.ContainsFunc(named, same) {
		return err == nil, "", err
	}
	all, err := dir.Groups(ctx, protocol.GroupsRequest{Max: examineGroups})
	if err != nil || slices.ContainsFunc(all, same) || len(all) >= examineGroups && looksLikeID(name) {
		return err == nil, "", err
	}
	names := make([]string, len(all))
	for i, g := range all {
		names[i] = g.Name
	}
	return false, doctor.Alike(strings.TrimSpace(name), names), nil
}

// looksLikeID reports whether a text has the form of a GUID, a SID or a distinguished
// name, rather than that of a name.
func looksLikeID(text string) bool {
	return strings.ContainsAny(text, "=") || strings.HasPrefix(strings.ToUpper(text), "S-1-") || strings.Count(text, "-") == 4 && len(text) == len("00000000-0000-0000-0000-000000000000")
}
