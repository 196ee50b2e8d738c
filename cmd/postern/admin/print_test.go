package admin

import (
	"bytes"
	"testing"
)

// Names come from directories, agents and whoever filled in a form: none of them clears a
// screen, changes a title or writes over what stands above.
func TestNothingThatAHubSaysSteersATerminal(t *testing.T) {
	var b bytes.Buffer
	out := actOut{State: "refused", Message: "no\x1b]0;done\a", Changes: []difference{{"group", "", "", "\x1b[2J\rStaff \u009b1A Äö"}}}
	if err := out.print(plain{&b}); err != nil || b.String() != "the agent refuses: no?]0;done?\n  group: (nothing) -> ?[2J?Staff ?1A Äö\n" {
		t.Errorf("printed %q, %v", b.String(), err)
	}
	if err := refusal("/api/envs", 400, []byte(`{"errors":["name: \u001b[2J"]}`)); err.Error() != "name: ?[2J" {
		t.Errorf("an error is %q", err)
	}
}
