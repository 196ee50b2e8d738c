package agent

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// hashOfKey is that of the only passkey of an account.
func (r *rig) hashOfKey(t *testing.T, account string) []byte {
	t.Helper()
	keys := r.known.Keys(account)
	if len(keys) != 1 {
		t.Fatalf("keys = %+v", keys)
	}
	return keys[0].Hash
}

func TestT03_APasskeyThatWasRemovedOpensNothingAndItsOwnerHearsOfIt(t *testing.T) {
	r, srv := strictRig(t, required([]string{"passkey"}, []string{"approval"}))
	key := r.enrolled(t, kim)
	hash := r.hashOfKey(t, kim)
	f, _ := r.frameFor(t, reset)
	f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
	remove := func(account string, hash []byte) (bool, error) {
		a, err := ask[protocol.RemovedKey](t, r.service, protocol.MethodRemoveKey, protocol.RemoveKeyRequest{Account: account, Hash: hash})
		return a.Removed, err
	}
	if removed, err := remove(accountID(1), hash); removed || err != nil {
		t.Errorf("of another account: %v, %v", removed, err)
	}
	for _, bad := range [][]byte{nil, hash[:31], append(slices.Clone(hash), 0)} {
		_, err := remove(kim, bad)
		wantCode(t, err, protocol.CodeBadRequest)
	}
	if removed, err := remove(kim, hash); !removed || err != nil {
		t.Fatalf("removed = %v, %v", removed, err)
	}
	if removed, err := remove(kim, hash); removed || err != nil {
		t.Errorf("again: %v, %v", removed, err)
	}
	wantRefused(t, r, r.performed(t, f), "evidence that the agent checks itself") // begun while the key was there
	told := wantMail(t, srv, "the owner is told", func(m mailbox.Message) bool { return strings.Contains(m.Subject, "removed") })
	if !slices.Contains(told.To, "user15@home.example") || !strings.Contains(told.Text, "user15@corp.example") {
		t.Errorf("mail = %+v", told)
	}
	r.restart(t)
	if keys := r.known.Keys(kim); len(keys) != 0 {
		t.Errorf("after a restart: %+v", keys)
	}
	log, err := os.ReadFile(filepath.Join(r.state, eventsFile))
	if err != nil || !strings.Contains(string(log), `"method":"remove_key"`) || !strings.Contains(string(log), "remove="+hex.EncodeToString(hash)) {
		t.Errorf("the event log does not say so: %v", err)
	}
}

func TestT03_ADirectoryThatIsAwayKeepsNoPasskeyIn(t *testing.T) {
	r, _ := strictRig(t, required([]string{"passkey"}, []string{"approval"}))
	r.enrolled(t, kim)
	hash := r.hashOfKey(t, kim)
	r.company.setDown(protocol.Err(protocol.CodeUnavailable, "away"))
	a, err := ask[protocol.RemovedKey](t, r.service, protocol.MethodRemoveKey, protocol.RemoveKeyRequest{Account: kim, Hash: hash})
	if err != nil || !a.Removed || len(r.known.Keys(kim)) != 0 {
		t.Errorf("removed = %v, %v", a, err)
	}
}

func TestT03_TheLocalAdministratorsOrderIsFollowedBeforeAnythingElse(t *testing.T) {
	r, srv := strictRig(t, required([]string{"passkey"}, []string{"approval"}))
	key := r.enrolled(t, kim)
	f, _ := r.frameFor(t, reset)
	f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
	if err := OrderKeyRemoval(r.state, r.hashOfKey(t, kim)); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, r, r.performed(t, f), "evidence that the agent checks itself")
	wantMail(t, srv, "the owner is told", func(m mailbox.Message) bool { return strings.Contains(m.Subject, "removed") })
	left, err := os.ReadDir(filepath.Join(r.state, ordersDir))
	if err != nil || len(left) != 0 {
		t.Errorf("orders that were followed are there still: %v, %v", left, err)
	}
}

func TestT23_TheLocalAdministratorCancelsWhatIsHeldForGood(t *testing.T) {
	rule := required([]string{"passkey"}, []string{"approval"})
	rule.Delay = settings.Duration{Duration: time.Hour}
	r, _ := strictRig(t, rule)
	key := r.enrolled(t, kim)
	f, _ := r.frameFor(t, reset)
	f.Evidence = []protocol.Evidence{{Type: evidence.TypePasskey, Raw: key.Assert(f.Context)}}
	if out := r.performed(t, f); out.State != protocol.Accepted {
		t.Fatalf("%+v %v", out, out.Error)
	}
	if err := OrderCancel(r.state, f.Members.Recovery); err != nil {
		t.Fatal(err)
	}
	r.restart(t) // it was stopped when the order came
	r.clock.forward(2 * time.Hour)
	f.Sent = r.clock.now().Unix()
	_, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, f)
	wantCode(t, err, protocol.CodeNotBegun)
	if n := r.company.writes(t); n != 0 {
		t.Errorf("%d writes", n)
	}
	log, err := os.ReadFile(filepath.Join(r.state, eventsFile))
	if err != nil || !strings.Contains(string(log), `"method":"local_order"`) {
		t.Errorf("the event log does not say so: %v", err)
	}
}

func TestOrdersAreIdsAndNothingElse(t *testing.T) {
	r := newRig(t, rulesOfTests)
	for _, bad := range []string{"", "x", "../../keys.json", strings.Repeat("a", 42) + "/"} {
		if err := OrderCancel(r.state, bad); err == nil {
			t.Errorf("%q is an order", bad)
		}
	}
	if err := OrderCancel(t.TempDir(), strings.Repeat("a", 43)); err == nil {
		t.Error("an order in a folder of no agent")
	}
	for _, name := range []string{"cancel-nobody", "remove-key-xyz", "remove-key-", "explode"} {
		if err := os.WriteFile(filepath.Join(r.state, ordersDir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	q, b := r.beginOn(t, accountID(1), reset)
	if out := r.performed(t, r.request(q, b)); out.State != protocol.Done {
		t.Errorf("with orders that mean nothing: %+v", out)
	}
	if left, err := os.ReadDir(filepath.Join(r.state, ordersDir)); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
