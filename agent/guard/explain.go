package guard

// A Ruling is what one rule says of a case.
type Ruling struct {
	Rule   string `json:"rule"`
	Broken string `json:"broken,omitempty"` // why it refuses; "" if it lets the case pass
}

// Explain asks every rule, in the order of Judge, and goes on after one that refuses.
// Limits are not looked at.
func (g *Guard) Explain(c Case) []Ruling {
	all := make([]Ruling, len(order))
	for i, rule := range order {
		all[i] = Ruling{rule.name, rule.broken(g, c)}
	}
	return all
}
