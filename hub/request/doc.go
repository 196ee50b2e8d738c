// Package request is the machine of plain verifications: an organisation asks somebody
// for proven facts about themselves, hands out a link, and reads what that person chose
// to share. It knows requests, people, subjects and properties; it knows no HTTP, no
// page, no account and no agent.
//
// A request may be used by several people. Each opening of its link is a use, with a
// session and an evidence context of its own (operation "verify", no directory, no
// account, no recipient; the random part fresh per use):
//
//	asked → (choosing →) proving → found → shared | rejected
//	                         ↓       ↑
//	                     waiting → declined → refused
//
// where other people decide about what was handed in, and may decline it.
//
// A person consents before anything is proven, sees what would be shared, and shares it
// or not. Every step is one compare-and-set. What was proven lies sealed until then, and
// afterwards under a key of that person: erasing the key erases them, here and in the
// audit log.
package request
