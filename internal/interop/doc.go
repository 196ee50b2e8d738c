// Package interop holds our verifier against wallets that others wrote, from npm, in a
// job for development only: make interop. It ships nothing.
package interop
