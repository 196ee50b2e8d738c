package admin

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTextMessagesAreSetShownAndSwitchedOff(t *testing.T) {
	start(t)
	const settings = `{"twilio":{"account_sid":"AC1","auth_token":"canary-token","from":"+4915112345678"},"countries":["DE"]}`
	if out, errs, err := run(t, settings, "env", "sms", "set", "-"); err != nil {
		t.Fatal(out, errs, err)
	}
	if out := want(t, "env", "sms", "show"); !strings.Contains(out, `"account_sid": "AC1"`) || strings.Contains(out, "canary") {
		t.Error(out)
	}
	for name, in := range map[string]string{"countries": `{"twilio":{"account_sid":"A","auth_token":"b","from":"c"}}`, "JSON": "twilio", "unknown": `{"surprise":1}`} {
		if out, _, err := run(t, in, "env", "sms", "set", "-"); err == nil || !strings.Contains(err.Error(), name) && name != "unknown" {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
	want(t, "env", "sms", "off")
	if out := want(t, "env", "sms", "show"); strings.TrimSpace(out) != "{}" {
		t.Error(out)
	}
}

func TestAProviderIsConnectedListedReplacedAndRemoved(t *testing.T) {
	start(t)
	var dir struct{ ID string }
	if err := json.Unmarshal([]byte(want(t, "directory", "create", "--json")), &dir); err != nil || dir.ID == "" {
		t.Fatal(dir, err)
	}
	settings := `{"name":"Acme ID","issuer":"https://login.example.com","client_id":"recovery","client_secret":"canary-secret","directories":["` + dir.ID + `"]}`
	out, errs, err := run(t, settings, "env", "provider", "add", "-")
	if err != nil {
		t.Fatal(out, errs, err)
	}
	var added struct{ ID string }
	if err := json.Unmarshal([]byte(out), &added); err != nil || added.ID == "" {
		t.Fatal(out, err)
	}
	if _, _, err := run(t, strings.Replace(settings, "Acme ID", "Bank ID", 1), "env", "provider", "replace", added.ID, "-"); err != nil {
		t.Fatal(err)
	}
	if out := want(t, "env", "provider", "list"); !strings.Contains(out, "Bank ID") || strings.Contains(out, "canary") {
		t.Error(out)
	}
	want(t, "env", "provider", "remove", added.ID)
	if out := want(t, "env", "provider", "list"); strings.TrimSpace(out) != "[]" {
		t.Error(out)
	}
}

func TestTheKindsOfDocumentAreChosenAndShown(t *testing.T) {
	start(t)
	if out := want(t, "env", "documents", "show"); !strings.Contains(out, "mdl") || !strings.Contains(out, "pid") {
		t.Error(out)
	}
	want(t, "env", "documents", "set", "pid")
	if out := want(t, "env", "documents", "show"); strings.Contains(out, "mdl") {
		t.Error(out)
	}
	if out := want(t, "env", "documents", "show-status"); !strings.Contains(out, "prefer") {
		t.Error(out)
	}
	want(t, "env", "documents", "status", "require", "status.example.org")
	if out := want(t, "env", "documents", "show-status"); !strings.Contains(out, "require") || !strings.Contains(out, "status.example.org") {
		t.Error(out)
	}
	if _, _, err := run(t, "", "env", "documents", "status", "sometimes"); err == nil {
		t.Error("a mode that there is not")
	}
	if _, _, err := run(t, "", "env", "documents", "set", "passport"); err == nil {
		t.Error("a kind that no wallet is asked for")
	}
}
