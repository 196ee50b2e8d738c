// Package webhook tells an organisation's own services of events: the blocking question
// "recover", which can stop a recovery and stops it when nobody answers, and an outbox
// of signed deliveries. It knows no recovery's state, no page and no agent.
package webhook
