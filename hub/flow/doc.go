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
// From ready, asking and cleared a recovery goes back to proving when people take back
// what they said (Withdraw). Every state up to cleared may also lead to ended: cancelled, expired, or voided
// because the owner said "this was not me" or the account changed meanwhile. An
// acknowledged result ends it too.
//
// # Verification
//
//	open ──▶ proven      the set of what was proven holds an accepted combination
//	  └────▶ closed      with its recovery
//
// Before the first proof everybody who asks for the same is offered the same methods:
// the first of each combination that any rule accepts. After it a person is offered
// what their own rule, and the terms of their agent, leave. A method asks in the form
// of its row in policy.MethodTable; where other people decide, Settle brings their word.
// Evidence that is bound to the browser's key needs the key first, and then the key never
// changes. A recovery may go on in another browser until something bound to it is proven:
// that browser reads a ticket (HandOver, Claim), shows a code, and gets the recovery when
// the code is typed in the first one (Confirm). Where nothing is left to prove, or the two
// are in different networks, codes that were sent are asked for once more there.
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
// challenge that no answer meets; what sends nothing is opened for it with a random
// context, the same for one recovery. What is shown before the first proof depends on the
// address and the environment alone, never on an account.
//
// Nothing but SQL can cause a change: whoever holds the agent's tunnel calls Execute,
// which reads the row again, and only a cleared one is sent, once.
package flow
