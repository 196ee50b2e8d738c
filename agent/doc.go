// Package agent is the program in the customer's network: it keeps tunnels to the
// hub, and decides last. What a hub asks is checked against the agent's own journal
// (was this begun here, has it had its operation?) its own file (may this be done to
// this account?) and, for strict groups, evidence that it checks itself (package proof), carried out at most once, and answered with a signature.
// It knows no kind of directory: whoever starts it hands one in.
package agent
