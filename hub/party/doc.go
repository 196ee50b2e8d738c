// Package party is what is registered of those who ask who somebody is: the contract by
// which an application or an identity provider asks, what an administrator says of it and
// which of that cannot be, its secrets, its keys and whom a token signed by them is about.
// It answers no request: what a contract's request means, and the way to a proof, are
// package oidc's.
package party
