package proof

import (
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/match"
)

// maxAnchors bounds a file with certificates or keys: the largest lists of the world
// have about a megabyte.
const maxAnchors = 8 << 20

// A Checker checks evidence against the anchors of the agent's file.
type Checker struct {
	anchors evidence.Anchors
	status  string // Settings.Status
}

// Open reads the files that the settings name. The checker keeps nothing open.
func Open(s Settings) (*Checker, error) {
	c := &Checker{evidence.Anchors{Origins: s.Origins, VCTs: s.VCTs, DocTypes: s.DocTypes, Trust: &evidence.TrustList{}}, s.Status}
	for _, path := range s.Trust {
		text, err := readFile(path)
		if err == nil {
			err = c.anchors.Trust.AddPEM(path, text)
		}
		if err != nil {
			return nil, fmt.Errorf("evidence.trust: %w", err)
		}
	}
	for _, v := range s.VICAL {
		if err := c.addVICAL(v); err != nil {
			return nil, fmt.Errorf("evidence.vical: %s: %w", v.File, err)
		}
	}
	for _, p := range s.Providers {
		text, err := readFile(p.KeysFile)
		if err != nil {
			return nil, fmt.Errorf("evidence.provider: %w", err)
		}
		keys, err := evidence.ParseJWKS(text)
		if err != nil {
			return nil, fmt.Errorf("evidence.provider: %s: %w", p.KeysFile, err)
		}
		c.anchors.Providers = append(c.anchors.Providers, evidence.Provider{Issuer: p.Issuer, ClientID: p.ClientID, Keys: keys, ACR: p.ACR, AMR: p.AMR, Verified: p.VerifiedClaims, Named: p.Names})
	}
	return c, nil
}

// addVICAL takes the issuers of a signed list whose provider's root the file pins.
func (c *Checker) addVICAL(v VICAL) error {
	list, err := readFile(v.File)
	if err != nil {
		return err
	}
	root, err := readFile(v.Root)
	if err != nil {
		return err
	}
	_, err = c.anchors.Trust.AddVICAL(v.File, list, root, time.Now())
	return err
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxAnchors+1))
	if err == nil && len(text) > maxAnchors {
		err = fmt.Errorf("%s: larger than %d bytes", path, maxAnchors)
	}
	return text, err
}

// matches reports whether a document names the person. What is merely similar does not:
// nobody reviews at an agent.
func matches(c evidence.Claims, p directory.Person) bool {
	of := match.Name{Given: p.Given, Family: p.Family}
	if p.Given == "" || p.Family == "" {
		of = match.Name{Full: p.Name}
	}
	return match.Names(match.Name{Given: c.Given, Family: c.Family}, of) == match.Match
}

// Knows reports whether a relying party id is that of one of the recovery sites.
func (c *Checker) Knows(rpID string) bool {
	return rpID != "" && slices.ContainsFunc(c.anchors.Origins, func(o string) bool { return evidence.RPID(o) == rpID })
}

// Issuers counts the roots that documents are believed from.
func (c *Checker) Issuers() int { return len(c.anchors.Trust.Anchors()) }

// Documents reports whether the file names issuers of documents.
func (c *Checker) Documents() bool { return c.Issuers() > 0 }

// Providers reports whether the file names outside identity providers.
func (c *Checker) Providers() bool { return len(c.anchors.Providers) > 0 }
