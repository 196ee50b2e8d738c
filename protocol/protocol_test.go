package protocol

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

func TestASecretMasksItselfEverywhere(t *testing.T) {
	const canary = "Zq7-canary"
	s := NewSecret(canary)
	holder := struct {
		S Secret
		P *Secret
	}{s, &s}
	var log bytes.Buffer
	lg := slog.New(slog.NewJSONHandler(&log, nil))
	lg.Info("x", "s", s, "p", &s, "h", holder)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "h", holder)
	js, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(js) + fmt.Sprint(s, &s, holder) + fmt.Errorf("e: %v", s).Error()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T"} {
		out += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, holder) + fmt.Sprintf(verb, []Secret{s})
	}
	for _, leak := range []string{canary, hex.EncodeToString([]byte(canary)), strings.ToUpper(hex.EncodeToString([]byte(canary))), fmt.Sprint([]byte(canary))} {
		if strings.Contains(out, leak) {
			t.Errorf("the secret shows as %q", leak)
		}
	}
	if s.Reveal() != canary {
		t.Error("Reveal lost the text")
	}
}

func TestT22_OneOperationHasOneText(t *testing.T) {
	for text, ok := range map[string]bool{
		"unlock": true, "get_temporary_password?must_change=true": true, "get_temporary_password?must_change=true,unlock": true,
		"": false, "verify": false, "Unlock": false, "unlock?": false, "unlock?x=1": false, "unlock,": false, " unlock": false,
		"get_temporary_password?must_change=true&must_change=false": false, "get_temporary_password?must_change=%74rue": false,
		"unlock,unlock,unlock,unlock,unlock": false, "delete_everything": false,
	} {
		if _, err := ParseTasks(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseTasks(f *testing.F) {
	f.Add("get_temporary_password?must_change=true,unlock")
	f.Fuzz(func(t *testing.T, text string) {
		if tasks, err := ParseTasks(text); err == nil && CanonicalTasks(tasks) != text {
			t.Fatalf("%q is accepted and written as %q", text, CanonicalTasks(tasks))
		}
	})
}

func TestT28_AnOutcomeIsSignedOverContextStateAndSecret(t *testing.T) {
	pub, priv, _ := ed25519.GenerateKey(nil)
	o := Outcome{Context: Context{1}, State: Done, Sealed: []byte("sealed")}
	o.Sign(priv)
	if !o.Verify(pub) {
		t.Fatal("its own signature does not verify")
	}
	for name, change := range map[string]func(*Outcome){
		"context": func(o *Outcome) { o.Context[0]++ },
		"state":   func(o *Outcome) { o.State = Failed },
		"sealed":  func(o *Outcome) { o.Sealed = []byte("other") },
		"removed": func(o *Outcome) { o.Sealed = nil },
	} {
		c := o
		change(&c)
		if c.Verify(pub) {
			t.Errorf("%s may be changed", name)
		}
	}
	if o.Verify(nil) {
		t.Error("verifies without a key")
	}
}

func TestATicketSurvivesItsTextAndNothingElseIsOne(t *testing.T) {
	want := Ticket{Hub: "https://id.example.com", HubName: "id.example.com", HubKey: make([]byte, 32), LogKey: make([]byte, 32), Directory: "d", Secret: "s-canary", Expires: time.Unix(1e9, 0).UTC()}
	text := want.Encode().Reveal()
	got, err := ParseTicket("\n " + text + "\n")
	if err != nil || got.Secret != want.Secret || !got.Expires.Equal(want.Expires) {
		t.Fatalf("%+v %v", got, err)
	}
	for _, bad := range []string{"", "x", text[:len(text)-3], text + "!", strings.Repeat("a", maxTicket+1), Ticket{Hub: "ftp://x"}.Encode().Reveal()} {
		if _, err := ParseTicket(bad); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func FuzzParseTicket(f *testing.F) {
	f.Add(Ticket{Hub: "https://h", HubName: "h", HubKey: make([]byte, 32), LogKey: make([]byte, 32), Directory: "d", Secret: "s"}.Encode().Reveal())
	f.Fuzz(func(t *testing.T, text string) { _, _ = ParseTicket(text) })
}

func TestErrorsMatchByCode(t *testing.T) {
	err := fmt.Errorf("x: %w", Err(CodeAccountNotFound, "gone"))
	if CodeOf(err) != CodeAccountNotFound || CodeOf(nil) != "" || CodeOf(os.ErrExist) != CodeInternal {
		t.Error("CodeOf")
	}
}

func TestEveryActionHasOperationsAndSpellings(t *testing.T) {
	for _, a := range Actions {
		if a.Policy == "" || a.RecoveryKind == "" || a.ProviderAction == "" || len(a.Operations) == 0 {
			t.Errorf("row %q is not complete", a.Action)
		}
		for _, o := range a.Operations {
			if o.Trait() == "" {
				t.Errorf("%s has no trait", o)
			}
		}
		if row, ok := ActionByName(a.Action); !ok || row.Policy != a.Policy {
			t.Errorf("%s is not found", a.Action)
		}
	}
}

func TestT01_OwnOperationsAreApartFromThoseOfTheDirectory(t *testing.T) {
	for _, a := range []Action{ActionOptions, ActionEnrollKey} {
		row, ok := OwnAction(a)
		if _, offered := ActionByName(a); !ok || offered || len(row.Operations) != 1 || !row.Operations[0].Own() || row.Operations[0].Secret() {
			t.Errorf("%s: %+v", a, row)
		}
	}
	for _, a := range Actions {
		for _, o := range a.Operations {
			if o.Own() {
				t.Errorf("%s is of the directory", o)
			}
		}
	}
	text := CanonicalTasks([]Task{{EnrollKey, map[string]string{"key": "00ff"}}})
	if tasks, err := ParseTasks(text); err != nil || text != "enroll_key?key=00ff" || tasks[0].Params["key"] != "00ff" {
		t.Errorf("%q: %v %v", text, tasks, err)
	}
	if !(Traits{}).Can(RecoveryOptions) || (Traits{}).Can(EnrollKey) || !(Traits{CanEnrollKey: true}).Can(EnrollKey) {
		t.Error("traits")
	}
}

func TestSpreadReadsOnlyWhatItWrote(t *testing.T) {
	for reason, want := range map[string]time.Duration{
		SpreadReason(20 * time.Second): 20 * time.Second,
		SpreadReason(time.Hour):        maxSpread,
		SpreadReason(-time.Second):     0,
		"":                             0,
		"node stops":                   0,
		spreadPrefix + "later":         0,
	} {
		if got := Spread(reason); got != want {
			t.Errorf("%q: %v, want %v", reason, got, want)
		}
	}
}

func TestLegacyAgentsAreToldApart(t *testing.T) {
	if d, ok := LegacyDirectory(LegacyAgent("d1")); !ok || d != "d1" {
		t.Error(d, ok)
	}
	if _, ok := LegacyDirectory("3f0c2c8e-0000-4000-8000-000000000000"); ok {
		t.Error("a native id is legacy")
	}
}
