// Package recovery is what one recovery is: its row, which state may follow which, what
// the row keeps sealed, what its evidence is bound to, what the policy decides on it, and
// how it ends. It asks no agent and no verifier and knows no pages: package flow leads
// people through it, package operation carries it out.
//
// # States
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
// what they said. Every state up to cleared may also lead to ended: cancelled, expired, or
// voided because the owner said "this was not me" or the account changed meanwhile. An
// acknowledged result ends it too.
//
// A recovery owns one verification:
//
//	open ──▶ proven      the set of what was proven holds an accepted combination
//	  └────▶ closed      with its recovery
//
// The persisted state is the only truth: each transition is one compare-and-set with the
// row's version.
package recovery
