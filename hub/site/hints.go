package site

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/protocol"
)

// flowEnroll is the flow that changes words.
const flowEnroll = "enroll"

// flows are the values of the parameter. As a mere hint, badge reads like recover: its
// page is for those whom a link admits.
var flows = []string{"", "recover", flowEnroll, "badge", flow.FlowOptions}

// Bounds of what an address may hint at.
const (
	maxHints   = 32  // values of dir and op; an environment has fewer directories
	maxAddress = 254 // RFC 5321 §4.5.3.1.3
)

// errQuery says that the address of a page has the wrong form.
var errQuery = errors.New("site: malformed query")

// repeatable lists the parameters of the first page; true may stand several times.
var repeatable = map[string]bool{"email": false, "flow": false, "lang": false, "id_token": false, "dir": true, "op": true}

// directoryID is a directory's id, as hints name it.
var directoryID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// once refuses parameters that stand several times where one is meant, and arrays under
// another spelling ("op[]"), so that no two readers of an address see different things.
// Parameters that are not ours are passed over: mail programs add some.
func once(q url.Values) error {
	for name, values := range q {
		many, ours := repeatable[name]
		if _, array := repeatable[strings.TrimRight(strings.SplitN(name, "[", 2)[0], "]")]; array && !ours {
			return errQuery
		}
		if ours && !many && len(values) > 1 || ours && len(values) > maxHints {
			return errQuery
		}
	}
	return nil
}

// parseHints reads the hints of an address or form. Malformed ones are an error, since a
// hint that silently does nothing misleads whoever wrote the link.
func parseHints(q url.Values) (flow.Intent, error) {
	if err := once(q); err != nil {
		return flow.Intent{}, err
	}
	in := flow.Intent{Flow: q.Get("flow"), Email: q.Get("email")}
	if !slices.Contains(flows, in.Flow) || len(in.Email) > maxAddress {
		return flow.Intent{}, errQuery
	}
	for _, d := range q["dir"] {
		d = strings.ToLower(d)
		if !directoryID.MatchString(d) {
			return flow.Intent{}, errQuery
		}
		in.Directories = appendNew(in.Directories, d)
	}
	for _, o := range q["op"] {
		if _, ok := protocol.ActionByName(protocol.Action(o)); !ok {
			return flow.Intent{}, errQuery
		}
		in.Actions = appendNew(in.Actions, protocol.Action(o))
	}
	return in, nil
}

func appendNew[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// A hiddenField carries a hint through a form.
type hiddenField struct{ Name, Value string }

// hiddenFields writes hints, without the address, into a form.
func hiddenFields(in flow.Intent) []hiddenField {
	var fields []hiddenField
	for _, d := range in.Directories {
		fields = append(fields, hiddenField{"dir", d})
	}
	for _, a := range in.Actions {
		fields = append(fields, hiddenField{"op", string(a)})
	}
	if in.Flow != "" {
		fields = append(fields, hiddenField{"flow", in.Flow})
	}
	return fields
}
