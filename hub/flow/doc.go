// Package flow holds two state machines, verification (a person proves something)
// and recovery (an account changes; owns one verification): which step may follow
// which, and what each does. It knows no HTTP, HTML or websockets.
//
// # Recovery
//
//	           Start             Choose               code is made
//	(nothing) ───────▶ choosing ───────▶ preparing ─────────────────▶ proving
//	                                         ▲                         │ │
//	                                         └──────── Resend ─────────┘ │ every method proven
//	                                                                     ▼
//	                    ┌─────────────────────────────────────── ready or refused
//	                    │ Perform   ▲      ▲       ▲                     ▲
//	                    ▼           │      │       │ unchanged           │ the organisation's
//	                  asking ───────┘      │       │                     │ webhook said no
//	                    │ │ webhook silent │       │                     │
//	                    │ └────────────────┼───────┼─────────────────────┘
//	                    ▼                  │       │
//	                  cleared ─────────────┘      sent ──▶ done, failed or unknown
//	                    │        no agent          ▲
//	                    └──────────────────────────┘
//	                        an Executor claims it
//
// Every state up to cleared may also lead to ended: cancelled, expired, or voided
// because the owner said "this was not me" or the account changed meanwhile. An
// acknowledged result ends it too.
//
// # Verification
//
//	open ──▶ proven      every method of one accepted combination
//	  └────▶ closed      with its recovery
//
// # Rules
//
// The persisted state is the only truth: each transition is one compare-and-set with
// the row's version, one dispatcher (Recoveries.advance) looks at the state and does
// what is due, and any node may do it. A row's due time is also the lease of the node
// that works on it, so another node goes on after a kill.
//
// Every address gets a row and its answer before anything is looked up. A decoy, for
// which no single enabled account was found, runs the same machine with a random
// challenge that no answer meets. What is shown before the first proof depends on the
// address and the environment alone, never on an account.
//
// Nothing but SQL can cause a change: whoever holds the agent's tunnel calls Execute,
// which reads the row again, and only a cleared one is sent, once.
package flow
