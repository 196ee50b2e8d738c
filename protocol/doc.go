// Package protocol is every word that hub and agent say to each other, and the
// tunnel that carries them. It knows no websocket, no directory and no policy.
//
// # The tunnel
//
// An agent opens a websocket to Path at the hub's control host with the subprotocol
// Subprotocol, over TLS. It sends no Origin header and no cookie; a request that
// carries an Origin header is refused. Every websocket message is binary and holds
// exactly one Noise message.
//
// Inside runs Noise_IK_25519_AESGCM_SHA256 with the prologue
//
//	"postern.agent.v1" 0x00 hub name
//
// where the hub name is the host of the hub's public address. The agent begins. It
// knows the hub's static key from its ticket, the hub knows the agent's from
// enrolment; both handshake messages have empty payloads. So a proxy that opens TLS
// sees nothing and cannot speak, and nothing that it replays is answered.
//
// # Messages and frames
//
// The plaintext of a Noise message, at most MaxMessage bytes, is one or more frames:
//
//	len(4) kind(1) flags(1) id(8) body(len)
//
// with integers in big-endian order. The first message of each side holds one frame
// alone: Hello from the agent, then Welcome or Error from the hub. After that:
//
//	kind  name     body
//	 1    hello    JSON Hello
//	 2    welcome  JSON Welcome
//	 3    call     method(1) deadline in milliseconds from now(4), 0 for none, JSON
//	 4    reply    JSON, the answer to the call with this id; a page of accounts may be a
//	               PackedPage, which begins with another byte, for a hub that asked so
//	 5    error    JSON Error, the answer to the call with this id
//	 6    cancel   empty: nobody waits for the call with this id any more
//	 7    event    length of the name(1) name JSON
//	 8    goaway   text: the node is about to stop; finish, and dial another node
//	 9    ping     empty
//	10    pong     empty
//
// Unknown kinds are ignored, so that a later version may add some. Bit 0 of flags
// says that the body continues in a further frame of the same kind and id; the
// reader joins bodies up to MaxBody. Frames of different bodies may be mixed, and are,
// so that a recovery overtakes a page of a sync. Bits 4 and 5 of a call's flags hold
// its Priority, which the answer inherits. The other bits are zero.
//
// Answers come in any order. A deadline is relative, so clocks need not agree. A
// cancelled call ends the wait, never a change of the directory that has begun.
//
// # A dialogue
//
//	agent → hub   hello {agent, instance, version, capabilities, guard_hash, time}
//	hub → agent   welcome {agent, directory, node, nodes, state, time}
//	hub → agent   call begin {recovery, account, operation, origin}
//	agent → hub   reply {agent, recovery, account, not_after}
//	hub → agent   call contacts {recovery}
//	agent → hub   reply {mail: […]}
//	hub → agent   call perform {members, context, ttl, …}
//	agent → hub   reply outcome {context, state, sealed, signature}
//
// Enrolment is the same dialogue with a ticket's secret and the agent's Ed25519 key in
// hello and no agent id: the ticket never leaves the Noise channel.
//
// An agent pings after 15 seconds of silence and gives up 5 later, a hub after 30 and
// 75. A link ends with a websocket close code that says when to come back: CloseComeBack at once (with
// jitter, spread as Spread reads from the reason), CloseComeBackHourly in an hour,
// CloseReplaced not at all, since a newer link has taken its place. Nothing that a hub says is final; only a
// local command is.
//
// # Evidence context and outcomes
//
// Members.Context is the hash that binds evidence to one operation, Outcome.SignedBytes
// what an agent signs. Secrets travel only as sealed bytes (package seal).
package protocol
