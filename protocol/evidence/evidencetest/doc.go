// Package evidencetest makes what package evidence checks: a passkey in memory that
// signs right and wrong things, and for documents an issuer and a wallet. It is for
// tests and the demo, and knows no network.
package evidencetest
