// Package evidence checks what a person presents as proof: ISO 18013-5 documents and
// SD-JWT credentials as OpenID4VP 1.0 delivers them, id_tokens, and assertions of
// passkeys. Hub and agent run the same checks, each against Anchors of its own. It
// knows no network, no account and no policy: it says what was proven, never whether
// that is enough.
//
// Every check rebuilds what the person signed from the Anchors and the evidence
// context. Nothing about origin, client or audience is taken from what is checked,
// except a choice among the origins that the Anchors list (T2).
package evidence
