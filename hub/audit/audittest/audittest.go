// Package audittest holds what tests write to the audit log against the members that the
// public reference gives to each of its kinds. It knows nothing of kinds of our own.
package audittest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// Members are the members of each kind of the public reference, as that writes them: name
// and type, "?" where it may be absent. A dot leads into an object. Others may stand beside.
var Members = map[audit.Kind]string{
	audit.EnvCreated:                "request object, response object, response.id text",
	audit.EnvUpdated:                "request object",
	audit.EnvDeleted:                "empty? truth",
	audit.EnvLogoUploaded:           "kind text",
	audit.EnvLogoDeleted:            "kind text",
	audit.TemplateCreated:           "request object, response object, response.id text",
	audit.TemplateUpdated:           "request object, template text",
	audit.TemplateDeleted:           "template text",
	audit.EnvWebhookSecretUpdated:   "empty? truth",
	audit.OrgUpdated:                "request object",
	audit.OrgMemberInvited:          "request object",
	audit.OrgMemberRemoved:          "org_member text",
	audit.OrgMemberUpdated:          "org_member text, request object",
	audit.APIKeyCreated:             "request object, response object, response.id text, response.key text",
	audit.APIKeyUpdated:             "apikey text, request object",
	audit.APIKeyDeleted:             "apikey text",
	audit.RequestCreated:            "request object, request.env text, response object, response.id text, response.scopes array, response.claims array",
	audit.RequestUpdated:            "request_id text, request object",
	audit.RequestCanceled:           "request_id text",
	audit.AccountUpdated:            "account text, directory text, request object",
	audit.AccountPhotoUploaded:      "account text, directory text",
	audit.DirectoryCreated:          "request object, request.env text, request.kind text, response object, response.id text",
	audit.DirectoryUpdated:          "directory text, request object",
	audit.DirectoryDeleted:          "directory text",
	audit.DirectoryAuthorized:       "directory text",
	audit.DirectorySetCredentials:   "directory text",
	audit.DirectoryLogoUploaded:     "directory text",
	audit.DirectoryLogoDeleted:      "directory text",
	audit.ConsoleSignin:             "email? truth, nametag? truth, relay_state? text, saml? truth, saml_response? text",
	audit.ConsoleSigninEmail:        "empty? truth",
	audit.ConsoleSigninSAML:         "empty? truth",
	audit.CLISignin:                 "session text",
	audit.OAuth2PushedAuthorization: "request object, response object",
	audit.OAuth2Authorize:           "request object, response object",
	audit.OAuth2V2Authorize:         "request object, response object",
	audit.OAuth2RequestCanceled:     "request text",
	audit.OAuth2Token:               "request object, response object",
	audit.EntraEAMAuthorize:         "directory text, request object, response object",
	audit.EntraEAMFinish:            "directory text, request object, response object",
	audit.OktaEAMAuthorize:          "directory text, request object, response object",
	audit.OktaEAMFinish:             "directory text, request object, response object",
	audit.PeopleCompare:             "request object, request.expectations array, response object, response.confidence number, response.comparisons array",
	audit.PeopleSetPreferredName:    "request object, request.preferred_name text, subject text",
	audit.PeopleSetPicture:          "error? text, image_hash? text, image_size? number, subject text",
	audit.SelfieCompare:             "response object, response.match truth, response.confidence number, subject text",
	audit.SharingRevoked:            "claims array, scopes? array, subject text",
	audit.ExtensionInvoked:          "method text, logs? array, error? text",
}

// Watch holds every event of a store against Members when the test ends.
func Watch(t testing.TB, s *store.Store) {
	t.Cleanup(func() {
		t.Helper()
		ctx := context.WithoutCancel(t.Context())
		leaves, err := store.Get(ctx, s, func(tx *store.Tx) ([]string, error) {
			return store.All(ctx, tx, store.Text, "SELECT leaf FROM audit_events WHERE leaf <> '' ORDER BY id")
		})
		if err != nil {
			t.Errorf("audittest: %v", err)
		}
		for _, l := range leaves {
			for _, fault := range Faults(l) {
				t.Errorf("not as the public reference has it: %s in %s", fault, l)
			}
		}
	})
}

// Faults says what a leaf has otherwise than the reference. One that was cut has nothing.
func Faults(leaf string) (list []string) {
	var event map[string]any
	if err := json.Unmarshal([]byte(leaf), &event); err != nil {
		return []string{err.Error()}
	}
	kind, _ := event["kind"].(string)
	members := Members[audit.Kind(kind)]
	if members == "" || event["truncated"] == true {
		return nil
	}
	for m := range strings.SplitSeq(members, ", ") {
		name, want, _ := strings.Cut(m, " ")
		if fault := faultOf(event[kind], name, want); fault != "" {
			list = append(list, kind+": "+fault)
		}
	}
	return list
}

// faultOf says what is wrong with a member, "" if nothing is.
func faultOf(detail any, name, want string) string {
	name, optional := strings.CutSuffix(name, "?")
	for part := range strings.SplitSeq(name, ".") {
		object, _ := detail.(map[string]any)
		v, there := object[part]
		if !there && optional {
			return ""
		}
		if !there {
			return "no " + name
		}
		detail = v
	}
	if got := typeOf(detail); got != want {
		return fmt.Sprintf("%s is %s, not %s", name, got, want)
	}
	return ""
}

func typeOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "text"
	case float64:
		return "number"
	case bool:
		return "truth"
	}
	return "null"
}
