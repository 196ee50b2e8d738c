// Package policy decides, from plain values, which actions a directory offers, how
// strong a proof each account needs and what the agent will be asked to do. It knows
// no store, no clock, no network and no person.
//
// Policy has two axes. A Strength (wire: name_match …) says how a proof that bears a
// name must match; Methods list the accepted combinations of proofs. MethodTable
// says what each method is. A new directory accepts [[mail_code]]. The first axis
// permits or forbids, and says how methods that bear a name have to match it.
package policy
