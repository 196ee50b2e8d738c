// Package flow leads a person through a recovery up to its button: start, choice, proof,
// another browser, other people's word; and shows where it stands. It judges no operation
// and reaches no agent itself: package recovery is the machine whose states it walks,
// package operation prepares at an agent what is asked and carries it out. It knows no
// HTTP, HTML or websockets.
//
// # Proof
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
// One dispatcher (Recoveries.advance) looks at the state of a row and does what is due,
// and any node may do it. A row's due time is also the lease of the node that works on
// it, so another node goes on after a kill.
//
// Every address gets a row and its answer before anything is looked up. A decoy, for
// which no single enabled account was found, runs the same machine with a random
// challenge that no answer meets; what sends nothing is opened for it with a random
// context, the same for one recovery. What is shown before the first proof depends on the
// address and the environment alone, never on an account.
package flow
