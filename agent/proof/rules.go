package proof

import (
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol"
)

// Terms are what one account is asked for.
type Terms struct {
	Strict    bool       // the hub's word is not enough
	Methods   [][]string // accepted combinations; empty unless Strict
	Confirm   bool       // the agent's code must be among them, and approvers are told
	Delay     time.Duration
	Approvals int    // persons that "approval" needs
	NoNotice  string // "" as the guard says
}

// anyOne are the combinations where the file names none.
var anyOne = [][]string{{MethodAgentCode}, {MethodPasskey}, {MethodDigitalCredential}, {MethodIdentityProvider}, {MethodApproval}}

// TermsFor returns the terms of the first rule that fits an account, by names and ids
// of its groups. If that one is not strict, the first strict one that fits holds, with the
// longer of the two delays: no order of the rules makes a strict group's member less than
// strict (T5). sensitive accounts are strict whatever the rules say.
func (s Settings) TermsFor(groups []string, sensitive bool) Terms {
	var t Terms
	fitted := false
	for _, r := range s.Groups {
		if !r.fits(groups) {
			continue
		}
		if own := r.terms(); !fitted || own.Strict {
			own.Delay = max(own.Delay, t.Delay)
			t, fitted = own, true
		}
		if t.Strict {
			break
		}
	}
	if sensitive {
		t = t.Verifiable()
	}
	return t
}

// Strictest returns terms that are no weaker than those of any rule, nor than its own:
// who approves for others falls under the strictest rule that the file has (T17).
func (s Settings) Strictest(own Terms) Terms {
	for _, r := range s.Groups {
		t := r.terms()
		if t.Strict {
			if own.Strict {
				t.Methods = both(own.Methods, t.Methods)
			}
			own.Strict, own.Methods, own.Approvals = true, t.Methods, max(own.Approvals, t.Approvals)
		}
		own.Delay = max(own.Delay, t.Delay)
		own.Confirm = own.Confirm || t.Confirm
	}
	if own.Confirm {
		own.Methods = with(own.Methods, MethodAgentCode)
	}
	return own
}

// Verifiable returns terms that ask for evidence which the agent checks itself.
func (t Terms) Verifiable() Terms {
	if !t.Strict {
		t.Strict, t.Methods, t.Approvals = true, anyOne, max(1, t.Approvals)
	}
	return t
}

// Strict reports whether any rule asks for evidence that the agent checks itself.
func (s Settings) Strict() bool {
	return slices.ContainsFunc(s.Groups, func(r Rule) bool { return r.terms().Strict })
}

// both are the smallest combinations that satisfy a and b at once.
func both(a, b [][]string) [][]string {
	var all [][]string
	for _, x := range a {
		for _, y := range b {
			all = append(all, slices.Compact(slices.Sorted(slices.Values(slices.Concat(x, y)))))
		}
	}
	var least [][]string
	for i, c := range all {
		if !slices.ContainsFunc(all, func(o []string) bool { return len(o) < len(c) && within(o, c) }) &&
			!slices.ContainsFunc(all[:i], func(o []string) bool { return slices.Equal(o, c) }) {
			least = append(least, c)
		}
	}
	return least
}

// within reports whether every method of a stands in b.
func within(a, b []string) bool {
	return !slices.ContainsFunc(a, func(m string) bool { return !slices.Contains(b, m) })
}

// fits compares names without regard to case, as directories do.
func (r Rule) fits(groups []string) bool {
	want := strings.TrimSpace(r.Group)
	return want == Everybody || slices.ContainsFunc(groups, func(g string) bool { return strings.EqualFold(strings.TrimSpace(g), want) })
}

func (r Rule) terms() Terms {
	t := Terms{Strict: r.RequireAgentVerifiable, Confirm: r.Confirm == ConfirmAgent, Delay: r.Delay.Duration, Approvals: max(1, r.Approvals), NoNotice: r.NoNotice}
	if t.Strict {
		if t.Methods = r.Methods; len(t.Methods) == 0 {
			t.Methods = anyOne
		}
	}
	if t.Confirm {
		t.Methods, t.Strict = with(t.Methods, MethodAgentCode), true
	}
	return t
}

// with adds a method to every combination; to no combination at all it is the only one.
func with(combinations [][]string, method string) [][]string {
	if len(combinations) == 0 {
		return [][]string{{method}}
	}
	all := make([][]string, 0, len(combinations))
	for _, c := range combinations {
		c = slices.Clone(c)
		if !slices.Contains(c, method) {
			c = append(c, method)
		}
		all = append(all, c)
	}
	return all
}

// Proven returns whether a set of methods satisfies the terms.
func (t Terms) Proven(proven []string) bool {
	return !t.Strict || slices.ContainsFunc(t.Methods, func(c []string) bool { return within(c, proven) })
}

// Asks reports whether a combination has the method.
func (t Terms) Asks(method string) bool {
	return slices.ContainsFunc(t.Methods, func(c []string) bool { return slices.Contains(c, method) })
}

// For is the wire form of the terms, nil when nothing is asked.
func (t Terms) For() *protocol.Terms {
	if !t.Strict && t.Delay == 0 {
		return nil
	}
	w := &protocol.Terms{Methods: t.Methods, Confirm: t.Confirm, Delay: int64(t.Delay / time.Second)}
	if t.Asks(MethodApproval) {
		w.Approvals = t.Approvals
	}
	return w
}

// GroupTrust says of each group, in the order of the file and then of the guard's
// sensitive groups, whether a hub alone can reset its members (T5).
func (s Settings) GroupTrust(sensitive []string) []protocol.GroupTrust {
	var all []protocol.GroupTrust
	add := func(name string, t Terms) {
		if !slices.ContainsFunc(all, func(g protocol.GroupTrust) bool { return strings.EqualFold(g.Group, name) }) {
			all = append(all, protocol.GroupTrust{Group: name, HubCanReset: !t.Strict, Confirm: t.Confirm, Delay: int64(t.Delay / time.Second)})
		}
	}
	for _, r := range s.Groups {
		if r.Group != Everybody {
			add(r.Group, s.TermsFor([]string{r.Group}, slices.ContainsFunc(sensitive, func(n string) bool { return strings.EqualFold(n, r.Group) })))
		}
	}
	for _, name := range sensitive {
		add(name, s.TermsFor([]string{name}, true))
	}
	all = all[:min(len(all), protocol.MaxGroupTrust-1)]
	add(Everybody, s.TermsFor(nil, false))
	return all
}
