// Package evaluation answers, before anybody depends on it, who of a directory could
// recover today and why the others could not: by the hub's policy, by the methods that
// each person has, and by what the directory's agent says while its own file lets it
// change nothing. It runs in the background and survives restarts; it knows no page and
// no request, and begins no recovery.
package evaluation
