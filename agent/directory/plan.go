package directory

import (
	"slices"
	"strconv"

	"github.com/postern-id/postern/protocol"
)

// A Plan is what a list of tasks asks of one account in a directory that keeps
// passwords itself. It is read in one place, so that no kind parses parameters.
type Plan struct {
	Reset      bool // set the password of the Change
	MustChange bool // and ask for a new one at the next sign-in
	Unlock     bool
	RemoveMFA  bool
}

// PlanOf reads tasks. Operations that give a secret made by the directory are
// CodeUnsupported; a task that is named twice or has a bad parameter, and an empty
// list, are CodeBadRequest.
func PlanOf(tasks []protocol.Task) (Plan, error) {
	var p Plan
	if len(tasks) == 0 {
		return p, protocol.Err(protocol.CodeBadRequest, "no operation was named")
	}
	for i, t := range tasks {
		if slices.ContainsFunc(tasks[:i], func(o protocol.Task) bool { return o.Operation == t.Operation }) {
			return Plan{}, protocol.Err(protocol.CodeBadRequest, "the operation "+string(t.Operation)+" is named twice")
		}
		if err := p.add(t); err != nil {
			return Plan{}, err
		}
	}
	return p, nil
}

// add reads one task into p.
func (p *Plan) add(t protocol.Task) error {
	switch t.Operation {
	case protocol.GetTemporaryPassword:
		p.Reset = true
		return p.addMustChange(t.Params["must_change"])
	case protocol.Unlock:
		p.Unlock = true
	case protocol.RemoveAllMFA:
		p.RemoveMFA = true
	default:
		return protocol.Err(protocol.CodeUnsupported, "this kind of directory cannot do "+string(t.Operation))
	}
	return nil
}

func (p *Plan) addMustChange(value string) error {
	if value == "" {
		return nil
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		return protocol.Err(protocol.CodeBadRequest, "must_change is true or false")
	}
	p.MustChange = b
	return nil
}
