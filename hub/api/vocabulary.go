package api

import (
	"reflect"
	"slices"

	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/protocol"
)

// vocabularies are the words of members that bear the tag words:"…". Other words are
// refused, with the one that may have been meant; the words stand in docs/openapi.yaml.
var vocabularies = map[string][]string{
	"role":     Roles,
	"claim":    append(slices.Clone(claimNames), request.PhoneAlias),
	"scope":    request.Scopes(),
	"kind":     kinds,
	"flow":     {"recover", "enroll", "badge"},
	"contract": party.Contracts(),
	"document": wallet.Kinds(),
	"state":    {request.Pending, request.InProgress, request.Shared, request.Revoked, request.Expired, request.Cancelled, request.Appealed, request.RejectedUnusable, request.RejectedFraud},
	"strength": {string(policy.NameMatch), string(policy.WeakNameMatch), string(policy.NameAndBirthDate), string(policy.Photo), string(policy.Disabled), string(policy.None)},
	"action":   actions(),
	"method":   methods(),
}

func actions() (all []string) {
	for _, r := range protocol.Actions {
		all = append(all, string(r.Action))
	}
	return append(all, string(protocol.ActionOptions), string(protocol.ActionEnrollKey), string(protocol.ActionSignIn))
}

func methods() (all []string) {
	for _, r := range policy.MethodTable {
		all = append(all, string(r.Method))
	}
	return all
}

// vocabularyOfType names the vocabularies of types that are one themselves.
var vocabularyOfType = map[reflect.Type]string{
	reflect.TypeFor[protocol.Action](): "action",
	reflect.TypeFor[policy.Method]():   "method",
	reflect.TypeFor[policy.Strength](): "strength",
}

// wordsOf names the vocabulary of a member, "" if it has none.
func wordsOf(f reflect.StructField) string {
	if name := f.Tag.Get("words"); name != "" {
		return name
	}
	t := inner(f.Type)
	for t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) {
		t = inner(t.Elem())
	}
	return vocabularyOfType[t]
}
