package api

import (
	"context"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/wallet"
)

// trustSize bounds what is imported, in bytes.
const trustSize = 6 << 20 // a list of 4 MiB in base64

// addTrustRequest imports authorities: a PEM file, or a signed list with the
// certificate of its provider.
type addTrustRequest struct {
	Name     string   `json:"name"`
	PEM      string   `json:"pem,omitempty"`
	VICAL    []byte   `json:"vical,omitempty"` // standard base64
	Root     string   `json:"root,omitempty"`  // PEM of the list's provider
	DocTypes []string `json:"doc_types,omitempty"`
}

// trustOut is one import with the authorities that it brought.
type trustOut struct {
	ID          string      `json:"id"`
	Kind        string      `json:"kind"`
	Name        string      `json:"name"`
	AddedAt     time.Time   `json:"added_at"`
	Authorities []authority `json:"authorities"`
	Problem     string      `json:"problem,omitempty"` // why it brings none now
}

// authority is one certificate as people compare it.
type authority struct {
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint"` // SHA-256
	NotAfter    time.Time `json:"not_after"`
	DocTypes    []string  `json:"doc_types"` // empty: all
}

func (c *call) wireTrust(s store.TrustSource) trustOut {
	out := trustOut{ID: s.ID, Kind: s.Kind, Name: s.Name, AddedAt: s.AddedAt, Authorities: []authority{}}
	anchors, err := c.api.Trust.Authorities(s)
	if err != nil {
		out.Problem = plainError(err)
	}
	for _, a := range anchors {
		out.Authorities = append(out.Authorities, authority{a.Name(), a.Fingerprint(), a.Certificate.NotAfter, append([]string{}, a.DocTypes...)})
	}
	return out
}

// plainError is the text of an error without the name of its package.
func plainError(err error) string {
	_, text, ok := strings.Cut(err.Error(), ": ")
	if !ok {
		return err.Error()
	}
	return text
}

// listTrust lists whom an environment trusts to issue documents: nobody at first.
func listTrust(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := tx.TrustSources(ctx, c.env.ID)
	out := make([]trustOut, 0, len(all))
	for _, s := range all {
		out = append(out, c.wireTrust(s))
	}
	return out, err
}

// getTrust answers with one source of trust and the authorities that it brings.
func getTrust(_ context.Context, c *call, _ *store.Tx) (any, error) { return c.wireTrust(c.trust), nil }

// addTrust imports a source after it was read and, if it is a list, verified.
func addTrust(ctx context.Context, c *call, tx *store.Tx, req *addTrustRequest) (any, error) {
	s := store.TrustSource{Env: c.env.ID, Kind: store.TrustPEM, Name: strings.TrimSpace(req.Name), Body: []byte(req.PEM), DocTypes: req.DocTypes}
	if (req.PEM == "") == (len(req.VICAL) == 0) {
		return nil, bad("want either pem or vical")
	}
	if len(req.VICAL) > 0 {
		s.Kind, s.Body, s.Root = store.TrustVICAL, req.VICAL, []byte(req.Root)
	}
	if err := wallet.CheckSource(s, time.Now()); err != nil {
		return nil, bad(plainError(err))
	}
	if err := tx.AddTrustSource(ctx, &s); err != nil {
		return nil, as(err, store.ErrConflict, bad("this environment imported as many lists as it may; remove one first"))
	}
	out := c.wireTrust(s)
	c.detail = map[string]any{"request": map[string]any{"add_trust": out}}
	return out, nil
}

// removeTrust ends the trust in what a source brought.
func removeTrust(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"request": map[string]any{"remove_trust": c.wireTrust(c.trust)}}
	return nil, tx.RemoveTrustSource(ctx, c.env.ID, c.trust.ID)
}

func (c *call) findTrust(ctx context.Context, tx *store.Tx, id string) (err error) {
	c.trust, err = tx.TrustSource(ctx, c.env.ID, id)
	return err
}

// walletCertificateRequest gives a domain a certificate by which wallets know it.
type walletCertificateRequest struct {
	PEM string `json:"pem"` // leaf, those above it, and the key (PKCS #8, P-256)
}

// setWalletCertificate replaces the certificate that signs requests to wallets, which
// otherwise the hub makes itself.
func setWalletCertificate(ctx context.Context, c *call, tx *store.Tx, req *walletCertificateRequest) (any, error) {
	w, err := wallet.ParseSigner(c.env.ID, c.domain.Name, []byte(req.PEM), time.Now())
	if err != nil {
		return nil, bad("pem: " + plainError(err))
	}
	c.detail = map[string]any{"request": map[string]any{"wallet_certificate": c.domain.Name, "not_after": w.EndsAt}}
	return nil, tx.SetWalletSigner(ctx, w)
}

// documents are the kinds of document that wallets are asked for.
type documents struct {
	Documents []string `json:"documents" words:"document"`
}

// getDocuments shows for which kinds of document an environment asks wallets.
func getDocuments(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	kinds, err := tx.Documents(ctx, c.env.ID)
	if len(kinds) == 0 {
		kinds = wallet.Kinds()
	}
	return documents{kinds}, err
}

// setDocuments says for which; an empty list stands for all.
func setDocuments(ctx context.Context, c *call, tx *store.Tx, req *documents) (any, error) {
	if err := wallet.CheckKinds(req.Documents); err != nil {
		return nil, bad(plainError(err))
	}
	return nil, tx.SetDocuments(ctx, c.env.ID, req.Documents)
}

// credentialStatus is what is done about the status lists of issuers.
type credentialStatus struct {
	Status string   `json:"status"`
	Hosts  []string `json:"hosts"` // that lists are read from; empty: whichever the issuer names
}

// getCredentialStatus shows what an environment does about revoked documents.
func getCredentialStatus(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	s, err := tx.CredentialStatus(ctx, c.env.ID)
	return credentialStatus{s.Mode, s.Hosts}, err
}

// setCredentialStatus replaces it.
func setCredentialStatus(ctx context.Context, c *call, tx *store.Tx, req *credentialStatus) (any, error) {
	s := store.CredentialStatus{Mode: req.Status, Hosts: req.Hosts}
	if err := wallet.CheckStatusSettings(s); err != nil {
		return nil, bad(plainError(err))
	}
	c.detail = map[string]any{"request": map[string]any{"credential_status": req}}
	return nil, tx.SetCredentialStatus(ctx, c.env.ID, s)
}
