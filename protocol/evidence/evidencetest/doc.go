// Package evidencetest makes what package evidence checks: a passkey in memory that
// signs right and wrong things, authorities that issue documents, and a wallet that
// presents them. Tests and the demo use it; nothing that it makes is trusted anywhere
// unless somebody imports its certificate. It knows no network, hub or agent.
package evidencetest
