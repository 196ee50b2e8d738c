// Package policy decides, from plain values, which actions a directory offers, how
// strong a proof each account needs and what the agent will be asked to do. It knows
// no store, no clock, no network and no person.
//
// Policy has two axes. A Strength (wire: name_match …) says how a proof that bears a
// name must match; Methods list the accepted combinations of proofs. This release
// proves by code alone, so the default of the second axis is written out as
// [[mail_code]], and the first axis only permits or forbids.
package policy
