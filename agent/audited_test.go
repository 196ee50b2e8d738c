package agent

import (
	"strings"
	"testing"

	"github.com/postern-id/postern/protocol"
)

// A hub that controls the bytes of a leaf must not show people one request and the agent
// another one.
func TestT08_ALeafMeansToTheAgentWhatItMeansToEveryReader(t *testing.T) {
	const plain = `{"context":"c","agent":"a","directory":"d","operation":"o"}`
	good := `{"kind":"operation_requested","operation_requested":` + plain + `}`
	if e, err := requestedOf([]byte(good)); err != nil || e != (protocol.RequestedEntry{Context: "c", Agent: "a", Directory: "d", Operation: "o"}) {
		t.Fatalf("%v, %v", e, err)
	}
	other := strings.ReplaceAll(plain, `"c"`, `"hidden"`)
	for _, leaf := range []string{
		`{"kind":"operation_requested","operation_requested":` + plain + `,"operation_reque\u017fted":` + other + `}`,
		`{"kind":"operation_requested","operation_reque\u017fted":` + other + `}`,
		`{"kind":"operation_requested","Operation_Requested":` + other + `}`,
		`{"Kind":"operation_requested","operation_requested":` + other + `}`,
		`{"kind":"operation_requested","operation_requested":` + strings.ReplaceAll(other, `"context"`, `"Context"`) + `}`,
		`{"kind":"operation_requested","operation_requested":` + plain + `,"OPERATION_REQUESTED":` + other + `}`,
		`{"kind":"sign_in","operation_requested":` + other + `}`,
		`{"kind":"operation_requested","operation_requested":"hidden"}`,
		`{"kind":"operation_requested"}`,
		`["operation_requested"]`,
		`null`,
	} {
		if e, err := requestedOf([]byte(leaf)); err == nil && e.Context == "hidden" {
			t.Errorf("%s is taken for %v", leaf, e)
		}
	}
}

func FuzzRequestedOf(f *testing.F) {
	f.Add([]byte(`{"kind":"operation_requested","operation_requested":{"context":"c"}}`))
	f.Fuzz(func(t *testing.T, leaf []byte) {
		if e, err := requestedOf(leaf); err != nil && e != (protocol.RequestedEntry{}) {
			t.Errorf("refused, and yet %v", e)
		}
	})
}
