package agent

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/protocol"
)

// A hub sees the picture of somebody whose recovery it began here, for as long as that is
// open, and cannot ask for those of everybody.
func TestAPhotoIsReadForARecoveryThatWasBegunAndNotTooOften(t *testing.T) {
	r := newRig(t, rulesOfTests)
	of := func(ref string) (protocol.Photo, error) {
		return ask[protocol.Photo](t, r.service, protocol.MethodPhoto, protocol.RecoveryRef{Recovery: ref})
	}
	_, err := of(accountID(1))
	wantCode(t, err, protocol.CodeNotBegun)
	q, b := r.beginOn(t, accountID(1), reset)
	ref := protocol.RecoveryID(q.Recovery, b.Recovery)
	for range readsPerRecovery {
		if p, err := of(ref); err != nil || string(p.Image) != "picture of "+accountID(1) {
			t.Fatalf("%q, %v", p.Image, err)
		}
	}
	_, err = of(ref)
	wantCode(t, err, protocol.CodeRateLimited)
	q, b = r.beginOn(t, accountID(2), reset)
	if p, err := of(protocol.RecoveryID(q.Recovery, b.Recovery)); err != nil || p.Image != nil {
		t.Errorf("somebody without a picture: %q, %v", p.Image, err)
	}
	q, b = r.beginOn(t, accountID(3), reset)
	r.clock.forward(shortRecovery + time.Second)
	_, err = of(protocol.RecoveryID(q.Recovery, b.Recovery))
	wantCode(t, err, protocol.CodeExpired)
}

// An evaluation hears that there is a picture, where that matters, and never the picture.
func TestT33_AnEvaluationHearsWhetherThereIsAPicture(t *testing.T) {
	r := newRig(t, rulesOfTests)
	r.evaluating(t, true)
	q := protocol.EvaluateRequest{Accounts: []protocol.EvaluateAccount{{ID: accountID(1), Photo: true}, {ID: accountID(1)}, {ID: accountID(2), Photo: true}}}
	got, err := ask[protocol.Evaluations](t, r.service, protocol.MethodEvaluate, q)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, false} {
		if slices.Contains(got.Accounts[i].Has, protocol.FactPhoto) != want {
			t.Errorf("%d: %v", i, got.Accounts[i].Has)
		}
	}
	if text, err := json.Marshal(got); err != nil || strings.Contains(string(text), "picture of") {
		t.Error("the picture is told")
	}
}
