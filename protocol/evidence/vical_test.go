package evidence_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

func TestAListOfAuthoritiesCountsOnlyFromItsPinnedProvider(t *testing.T) {
	w := newWorld(t)
	provider, err := evidencetest.NewAuthority("XX", "List provider", now)
	if err != nil {
		t.Fatal(err)
	}
	list, err := provider.VICAL(now, []string{evidencetest.DocType}, w.authority)
	if err != nil {
		t.Fatal(err)
	}
	trust := new(evidence.TrustList)
	info, err := trust.AddVICAL("vical", list, provider.PEM(), now)
	if err != nil || info.Added != 1 || info.Provider != "List provider" || !info.NextUpdate.Equal(now.AddDate(0, 1, 0)) || !info.Until.Equal(provider.Credentials.Certificate.NotAfter) {
		t.Fatalf("%+v %v", info, err)
	}
	a := w.anchors
	a.Trust = trust
	if _, err := evidence.CheckMDoc(raw(t, evidence.TransportDCAPI, w.present(t, w.dcAPI(t), all...)), w.context, a, now); err != nil {
		t.Errorf("a document of a listed authority: %v", err)
	}
	// The list gives the authority mobile driving licences only.
	cred := raw(t, evidence.TransportDCAPI, present(t, newCredential(t, w), originAudience, w.context.String(), allClaims...))
	if _, err := evidence.CheckSDJWT(cred, w.context, a, now); !errors.Is(err, evidence.ErrUntrusted) {
		t.Errorf("a credential of an authority that is listed for documents: %v", err)
	}
	none := new(evidence.TrustList)
	if _, err := none.AddVICAL("vical", list, w.authority.PEM(), now); !errors.Is(err, evidence.ErrUntrusted) {
		t.Errorf("another provider: %v", err)
	}
	if _, err := none.AddVICAL("vical", list, provider.PEM(), now.Add(-time.Hour)); err == nil {
		t.Error("a list of the future was accepted")
	}
	for i := range list {
		m := slices.Clone(list)
		m[i] ^= 1
		if _, err := none.AddVICAL("vical", m, provider.PEM(), now); err == nil {
			t.Errorf("accepted with byte %d changed", i)
		}
	}
	if n := len(none.Anchors()); n != 0 {
		t.Errorf("%d authorities of refused lists", n)
	}
}
