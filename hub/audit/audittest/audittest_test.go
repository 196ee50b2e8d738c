package audittest

import (
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
)

// A word that is misspelt in the table would be a member that nothing is held against.
func TestTheTableNamesKindsAndTypesThatThereAre(t *testing.T) {
	for kind, members := range Members {
		if !slices.Contains(audit.Kinds, kind) {
			t.Errorf("there is no kind %s", kind)
		}
		for m := range strings.SplitSeq(members, ", ") {
			if name, want, _ := strings.Cut(m, " "); name == "" || !slices.Contains([]string{"object", "array", "text", "number", "truth"}, want) {
				t.Errorf("%s: %q", kind, m)
			}
		}
	}
	if len(Members) != 47 {
		t.Errorf("%d kinds; the public reference has 47 that are not of integrations", len(Members))
	}
}

func TestAFaultIsAMemberThatIsMissingOrOfAnotherType(t *testing.T) {
	for _, c := range []struct{ leaf, want string }{
		{`{"kind":"env_updated","env_updated":{"request":{},"ours":1}}`, ""},
		{`{"kind":"env_updated","env_updated":{"request":"remove"}}`, "env_updated: request is text, not object"},
		{`{"kind":"env_updated","env_updated":{"ours":1}}`, "env_updated: no request"},
		{`{"kind":"env_updated"}`, "env_updated: no request"},
		{`{"kind":"env_updated","truncated":true,"env_updated":{}}`, ""},
		{`{"kind":"sharing_revoked","sharing_revoked":{"claims":null,"subject":"s"}}`, "sharing_revoked: claims is null, not array"},
		{`{"kind":"sharing_revoked","sharing_revoked":{"claims":[],"scopes":"name","subject":"s"}}`, "sharing_revoked: scopes is text, not array"},
		{`{"kind":"selfie_compare","selfie_compare":{"response":{"match":true},"subject":"s"}}`, "selfie_compare: no response.confidence"},
		{`{"kind":"recovery_begun","recovery_begun":{}}`, ""},
	} {
		if got := strings.Join(Faults(c.leaf), "; "); got != c.want {
			t.Errorf("%s: %q; want %q", c.leaf, got, c.want)
		}
	}
}
