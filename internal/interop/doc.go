// Package interop holds our verifier against wallets, and our relying party against an
// OpenID provider, that others wrote, from npm, in a job for development only: make
// interop. It ships nothing.
package interop
