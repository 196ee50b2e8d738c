package hub

// GCPercent is by how much of what is in use the heap of a program that is an edge grows
// until it is collected (GOGC of package runtime). A sign-in keeps nothing and throws much
// away: with twice Go's own figure it takes a seventh less of the processors, for at most as
// much memory again as is in use. Whose program has a hub as a module decides that itself.
const GCPercent = 200
