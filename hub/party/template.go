package party

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/request"
)

// A Template is what of a template of the public API counts for applications.
type Template struct {
	Name    string
	Claims  []string
	Domains []string // of which a mail address must be; none: any
	Selfie  bool     // only a proof with a new selfie counts
	Life    time.Duration
	Speaks  bool // it has words of its own for people
}

// maxLife is the longest life that package api takes, in seconds. A template that was stored
// before there was a bound may say more than a Duration holds: as one below zero.
const maxLife = 60 * 365 * 24 * 60 * 60

// life is so many seconds, or the longest there are.
func life(seconds int) time.Duration { return time.Duration(min(seconds, maxLife)) * time.Second }

// ParseTemplate reads a stored template, and reports whether it may be used.
func ParseTemplate(name string, body []byte) (Template, bool) {
	var row struct {
		Enabled bool `json:"enabled"`
		Scopes  []struct {
			Scope   string   `json:"scope"`
			Domains []string `json:"restrict_email_domains"`
		} `json:"scope_definitions"`
		Claims []struct {
			Claim string `json:"claim"`
		} `json:"claim_definitions"`
		Reverification bool `json:"require_selfie_reverification"`

		Headline string `json:"headline"`
		Accept   string `json:"accept_text"`
		Accepted string `json:"accepted_text"`
		Above    string `json:"qr_headline"`
		Below    string `json:"qr_custom_text"`
		Expires  string `json:"expiration_text"`

		ScopesLife int `json:"scopes_expire_in"` // seconds
		ClaimsLife int `json:"claims_expire_in"` // seconds; 0: as scopes
	}
	if json.Unmarshal(body, &row) != nil || !row.Enabled {
		return Template{}, false
	}
	t := Template{Name: name, Selfie: row.Reverification, Life: life(row.ClaimsLife)}
	if t.Life == 0 {
		t.Life = life(row.ScopesLife)
	}
	t.Speaks = row.Headline+row.Accept+row.Accepted+row.Above+row.Below+row.Expires != ""
	for _, s := range row.Scopes {
		t.Claims, t.Domains = append(t.Claims, request.Asked([]string{s.Scope}, nil)...), append(t.Domains, s.Domains...)
	}
	for _, c := range row.Claims {
		t.Claims = append(t.Claims, c.Claim)
	}
	return t, true
}

// Asks reports whether anything is asked for.
func (t Template) Asks() bool { return len(t.Claims) > 0 }

// Unmatched is t without what only the client of a directory is told.
func (t Template) Unmatched() Template {
	t.Claims = slices.DeleteFunc(slices.Clone(t.Claims), request.Matched)
	return t
}
