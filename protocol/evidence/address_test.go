package evidence_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/postern-id/postern/protocol/evidence"
)

func TestAnAddressIsOneLineHoweverACredentialSaysIt(t *testing.T) {
	w := newWorld(t)
	base := map[string]any{"family_name": "Müller", "given_name": "Jürgen", "birthdate": "1980-02-29"}
	for what, c := range map[string]struct {
		address any
		want    string
		err     error
	}{
		"members":   {map[string]any{"street_address": "Hauptstraße", "house_number": "1", "locality": "Berlin", "country": "DE", "other": 7}, "Hauptstraße 1, Berlin, DE", nil},
		"formatted": {map[string]any{"formatted": "Hauptstraße 1\r\n10115 Berlin", "locality": "Bonn"}, "Hauptstraße 1, 10115 Berlin", nil},
		"text":      {"Hauptstraße 1", "Hauptstraße 1", nil},
		"empty":     {map[string]any{}, "", nil},
		"a number":  {7, "", nil},
		"control":   {map[string]any{"locality": "Ber\x00lin"}, "", evidence.ErrFormat},
		"long":      {map[string]any{"formatted": strings.Repeat("x", 601)}, "", evidence.ErrFormat},
	} {
		claims := maps.Clone(base)
		claims["address"] = c.address
		cred, err := w.authority.IssueClaims(claims, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		shown := present(t, cred, originAudience, w.context.String(), "family_name", "given_name", "birthdate", "address")
		got, err := evidence.CheckSDJWT(raw(t, evidence.TransportDCAPI, shown), w.context, w.anchors, now)
		if got.Address != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v", what, got.Address, err)
		}
	}
}
