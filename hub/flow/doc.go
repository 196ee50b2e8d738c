// Package flow holds two state machines, verification (a person proves something)
// and recovery (an account changes; owns one verification): which step may follow
// which, and what each does. It knows no HTTP, HTML or websockets.
package flow
