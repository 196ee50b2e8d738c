// Package operation prepares at an agent what a recovery asks for, and carries out what it
// proved, once: it begins, asks the organisation, has the node of the agent's tunnel send,
// settles what came of it, takes back, and tells the owner. It judges no proof, leads
// nobody and knows no HTTP: whoever it acts for stands in a row of package recovery.
//
// Nothing but SQL can cause a change: whoever holds the agent's tunnel calls Execute,
// which reads the row again, and only a cleared one is sent, once. A lost answer is asked
// for at the agent, whose journal knows; nothing is sent again.
package operation
