// Package oidc is the OpenID provider that applications and identity providers ask: pushed
// requests, authorization, codes and tokens, for the parties that package party knows. It
// knows HTTP, and of pages the form that carries an answer and the one at which a browser
// waits for a phone; who somebody is, it asks the flow, which knows the employee's side.
//
// One sign-in of one browser is an exchange. It has one secret at a time, which is
// replaced at each step by one compare-and-set, so that each is good once:
//
//	pushed → asked → proving → answered → code → spent | revoked
//
// "pushed" is the request_uri of a pushed request, "asked" the ticket that leads to the
// recovery domain, "answered" the way back from there, which only the browser that began
// can take, "code" the code that a client redeems. A client that takes its answer through
// the browser goes from "answered" to "spent". Who loads a request_uri again in the browser
// that used it gets another ticket, or goes on with the proof that is "proving".
//
// An application's request waits on a page here while a phone proves, see phone.go; that
// page, which the browser that began alone can see, then hands the answer on.
package oidc
