package directory

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
)

func TestSettingsPassTheStoreUnchanged(t *testing.T) {
	s := policy.Default()
	s.Policies["unlock_policy"] = policy.Rules{Groups: []policy.GroupRule{}, Default: policy.NameAndBirthDate}
	s.Methods.Rules = []policy.MethodRule{{Action: "mfa", Accept: []policy.Combination{{policy.MailCode, policy.AgentCode}}}}
	s.AccessPassMinutes, s.AccessPassReusable = 60, true
	for _, limit := range []*policy.RateLimit{nil, {Count: 3, Window: policy.Duration(90 * time.Minute)}, {Count: 0, Window: policy.Duration(time.Hour)}} {
		s.Limit = limit
		stored, err := Store(s, store.DirectorySettings{AllowUnsealed: true})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Settings(store.Directory{Settings: stored})
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("limit %v:\n%+v, %v; want\n%+v", limit, got, err, s)
		}
		if !stored.AllowUnsealed {
			t.Error("a setting that policy does not know was lost")
		}
	}
}

func TestSettingsThatCannotBeReadAreNeverDefaults(t *testing.T) {
	for what, set := range map[string]store.DirectorySettings{
		"policy":  {Policies: store.Policies{Password: json.RawMessage(`{"default":"everybody"}`)}},
		"methods": {Methods: json.RawMessage(`{"default":[[]]}`)},
		"text":    {Methods: json.RawMessage(`{`)},
	} {
		if s, err := Settings(store.Directory{Settings: set}); err == nil {
			t.Errorf("%s: %+v", what, s)
		}
	}
}

func TestANewDirectoryHasTheDefaults(t *testing.T) {
	if got, err := Settings(store.Directory{}); err != nil || !reflect.DeepEqual(got, policy.Default()) {
		t.Errorf("%+v, %v", got, err)
	}
}
