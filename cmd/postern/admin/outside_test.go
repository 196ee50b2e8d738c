package admin

import (
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
