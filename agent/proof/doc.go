// Package proof decides whether evidence proves, to the agent itself, that the owner
// of an account asked for one operation. It believes the agent's file, the agent's own
// memory and the directory, and nothing that a hub says. It knows no tunnel, no mail
// and no directory kind.
package proof
