package review

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Settings are how an environment reviews.
type Settings struct {
	SecondFor []string  `json:"second_reviewer_groups,omitempty"` // ids or names of groups whose cases two people decide
	Analyzer  *Analyzer `json:"analyzer,omitempty"`
	Requests  bool      `json:"requests,omitempty"` // people who answer a request may show a document
	Badges    Judges    `json:"badges,omitempty"`   // who decides about photos for badges; "": the analyzer, where there is one
}

// An Analyzer is a program of the operator that looks at cases.
type Analyzer struct {
	URL     string `json:"url"`
	Secret  string `json:"secret"`            // of the signatures, both ways
	Accepts bool   `json:"accepts,omitempty"` // all checks passed is enough; otherwise people decide whatever it says
}

// Bounds of settings.
const (
	maxGroups      = 100
	minSecret      = 32 // bytes; it is the key of an HMAC
	maxSettingText = 512
)

// Check reports the first thing that an administrator must mend.
func (s Settings) Check() error {
	if len(s.SecondFor) > maxGroups || slices.ContainsFunc(s.SecondFor, func(g string) bool { return g == "" || len(g) > maxSettingText }) {
		return errors.New("review: at most 100 groups, each an id or a name")
	}
	if !slices.Contains([]Judges{"", ByAnalyzer, ByReviewer, ByBoth}, s.Badges) {
		return errors.New(`review: badges is one of "analyzer", "reviewer" and "both"`)
	}
	if s.Analyzer == nil && (s.Badges == ByAnalyzer || s.Badges == ByBoth) {
		return errors.New("review: photos for badges cannot be decided by an analyzer where none is set up")
	}
	if s.Analyzer == nil {
		return nil
	}
	u, err := url.Parse(s.Analyzer.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || len(s.Analyzer.URL) > maxSettingText {
		return errors.New("review: the analyzer's url must begin with https://")
	}
	if len(s.Analyzer.Secret) < minSecret || len(s.Analyzer.Secret) > maxSettingText {
		return errors.New("review: the analyzer's secret must have at least 32 characters")
	}
	return nil
}

// Second reports whether two people decide about a member of groups. Directories do not
// tell upper from lower case, in ids or in names.
func (s Settings) Second(groups []policy.Group) bool {
	return slices.ContainsFunc(groups, func(g policy.Group) bool {
		return slices.ContainsFunc(s.SecondFor, func(of string) bool { return strings.EqualFold(of, g.ID) || strings.EqualFold(of, g.Name) })
	})
}

// sensitive reports whether an account is in a group that asks for two reviewers. "" is in
// none.
func sensitive(ctx context.Context, tx *store.Tx, set Settings, env, account string) (bool, error) {
	groups, err := tx.AccountGroups(ctx, env, account)
	return slices.ContainsFunc(groups, func(g protocol.Group) bool { return set.Second([]policy.Group{{ID: g.ID, Name: g.Name}}) }), err
}

// ReadSettings returns how an environment reviews, with the analyzer's secret.
func ReadSettings(ctx context.Context, tx *store.Tx, env string) (s Settings, err error) {
	b, err := tx.ReviewSettings(ctx, env)
	if err == nil && b != nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

// WriteSettings sets how an environment reviews. The caller has checked s.
func WriteSettings(ctx context.Context, tx *store.Tx, env string, s Settings) error {
	return tx.SetReviewSettings(ctx, env, []byte(store.JSON(s)))
}
