// Package e2e drives whole journeys through the built programs: a real Chromium, a
// real edge, hub, tunnel and agent process, and real directory servers. It holds
// tests only.
package e2e
