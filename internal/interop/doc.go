// Package interop holds our verifier against wallets, our relying party against an OpenID
// provider, our storage against an S3-compatible server and Azurite, and docs/openapi.yaml
// against a validator, that others wrote, from npm, in a job for development only: make interop. The relying party from
// npm that asks ours is driven by internal/e2e, which has the hub behind its own TLS. It
// ships nothing.
package interop
