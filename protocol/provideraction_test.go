package protocol

import "testing"

// The public documents have a word for a code that goes around a second factor, besides the
// one for second factors.
func TestTheActionOfAnAlarmIsThatOfWhatTheAgentWasAskedFor(t *testing.T) {
	for _, c := range []struct {
		action Action
		tasks  []Task
		want   string
	}{
		{ActionPassword, nil, "user_reset_password"},
		{ActionPassword, []Task{{Operation: GetTemporaryPassword}, {Operation: Unlock}}, "user_reset_password"},
		{ActionMFA, []Task{{Operation: RemoveAllMFA}}, "user_reset_mfa"},
		{ActionMFA, []Task{{Operation: GetMFABypassCode}}, "user_create_bypass_code"},
		{ActionUnlock, nil, "user_unlock"},
		{ActionAccessPass, nil, "user_temporary_access_pass"},
		{ActionSignIn, nil, ""},
	} {
		if got := ProviderAction(c.action, c.tasks); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.action, c.tasks, got, c.want)
		}
	}
}
