package agent

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// linker is a company whose directory makes links itself.
type linker struct {
	*company
	made int
	end  error
}

// Perform implements directory.Writer.
func (l *linker) Perform(_ context.Context, c directory.Change) (directory.Result, error) {
	if err := l.write(c, directory.Plan{Unlock: true}); err != nil {
		return directory.Result{}, err
	}
	l.made++
	return directory.Result{Secret: protocol.NewSecret(fmt.Sprintf("https://reset.example/%d", l.made))}, l.end
}

func TestT21_SecretThatTheDirectoryMakesIsSealedToo(t *testing.T) {
	r := newRig(t, rulesOfTests)
	l := &linker{company: r.company}
	r.service.dir = l
	for _, op := range []string{"get_password_link", "get_mfa_link", "get_mfa_bypass_code", "get_temporary_access_pass?lifetime_minutes=10"} {
		q, b := r.beginOn(t, accountID(1), op)
		f := r.request(q, b)
		body, err := r.serve(t.Context(), protocol.MethodPerform, encode(t, logged(f, r.id, r.witness.Last())), "node")
		if err != nil {
			t.Fatal(err)
		}
		out, ok := body.(*protocol.Outcome)
		if !ok || out.State != protocol.Done {
			t.Fatalf("%s: %+v", op, body)
		}
		want := fmt.Sprintf("https://reset.example/%d", l.made)
		if got := r.opened(t, *out); got != want {
			t.Errorf("%s: %q, want %q", op, got, want)
		}
		if strings.Contains(string(encode(t, out)), "reset.example") {
			t.Errorf("%s: the secret crosses the tunnel in clear", op)
		}
		r.restart(t)
		r.service.dir = l
		if again := r.performed(t, f); !again.Replayed || r.opened(t, again) != want {
			t.Errorf("%s: after a restart: %+v", op, again)
		}
	}
}

func TestSecretOfTheDirectoryThatIsLostIsAnHonestUnknown(t *testing.T) {
	r := newRig(t, rulesOfTests)
	l := &linker{company: r.company, end: fmt.Errorf("%w: reset", directory.ErrUnsure)}
	r.service.dir = l
	q, b := r.beginOn(t, accountID(1), "get_password_link")
	f := r.request(q, b)
	if out := r.performed(t, f); out.State != protocol.Unknown || out.Sealed != nil || !strings.Contains(out.Error.Message, "its secret is lost") {
		t.Errorf("outcome = %+v", out)
	}
	f.ID += "x"
	if out := r.performed(t, f); out.State != protocol.Unknown || l.made != 1 {
		t.Errorf("again = %+v, %d links", out, l.made)
	}
}

func TestT28_EveryOutcomeIsSignedOverContextStateAndSecret(t *testing.T) {
	r := newRig(t, rulesOfTests)
	q, b := r.beginOn(t, accountID(1), reset)
	done := r.performed(t, r.request(q, b))
	q, b = r.beginOn(t, accountID(firstProtected), reset)
	failed := r.performed(t, r.request(q, b)) // performed checks the signature
	for name, change := range map[string]func(*protocol.Outcome){
		"state":   func(o *protocol.Outcome) { o.State = protocol.Unknown },
		"secret":  func(o *protocol.Outcome) { o.Sealed = append([]byte{1}, o.Sealed...) },
		"context": func(o *protocol.Outcome) { o.Context[3] ^= 1 },
	} {
		for _, out := range []protocol.Outcome{done, failed} {
			change(&out)
			if out.Verify(r.id.keys.signPublic()) {
				t.Errorf("%s of a %s outcome can be changed", name, out.State)
			}
		}
	}
}

func TestLostAnswerThatCannotBeSettledIsToldAsNotKnownAndSettledLater(t *testing.T) {
	r := newRig(t, rulesOfTests)
	lost := fmt.Errorf("%w: reset", directory.ErrUnsure)
	r.company.after = func(directory.Change) error {
		r.company.setDown(protocol.Err(protocol.CodeUnavailable, "no route"))
		return lost
	}
	r.service.patience = 50 * time.Millisecond
	q, b := r.beginOn(t, accountID(1), reset)
	f := r.request(q, b)
	_, err := ask[protocol.Outcome](t, r.service, protocol.MethodPerform, f)
	wantCode(t, err, protocol.CodeInternal)
	if n := r.company.writes(t); n != 1 {
		t.Errorf("%d writes", n)
	}
	r.company.setDown(nil)
	r.settleAll(t.Context())
	out, err := ask[protocol.Outcome](t, r.service, protocol.MethodOutcome, protocol.OutcomeRequest{Context: f.Context})
	if err != nil || out.State != protocol.Done || r.opened(t, out) != r.company.person(t, accountID(1)).Password {
		t.Errorf("outcome = %+v, %v", out, err)
	}
}
