package protocol

// Terms are what an agent asks for before it acts on one account, whatever the hub's
// policy says. They come with Begun, so nobody learns them before the first proof.
type Terms struct {
	// Methods are the accepted combinations of evidence that the agent checks itself;
	// one of them must be proven whole. Empty: the hub's word is enough.
	Methods [][]string `json:"methods,omitempty"`
	// Confirm says that the agent's code, which is then in every combination, comes in
	// a message that names account and operation, and that approvers are told.
	Confirm bool `json:"confirm,omitempty"`
	// Delay is for how many seconds the agent holds the operation after it has checked
	// the evidence.
	Delay int64 `json:"delay,omitempty"`
	// Approvals is how many persons the method "approval" needs, where it is asked.
	Approvals int `json:"approvals,omitempty"`
}

// MaxGroupTrust bounds the groups of one Hello.
const MaxGroupTrust = 200

// GroupTrust says what a hub alone can do to the members of one group. The agent
// computes it from its own file; "*" is everybody who is in none of the others.
type GroupTrust struct {
	Group       string `json:"group"`
	HubCanReset bool   `json:"hub_can_reset"`
	Confirm     bool   `json:"confirm,omitempty"`
	Delay       int64  `json:"delay,omitempty"` // seconds
}
