package installer

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// recorded are steps that write down what was done and undone.
func recorded(log *[]string, failing string, names ...string) []Step {
	var steps []Step
	for _, name := range names {
		steps = append(steps, Step{
			Does: name,
			Do: func() error {
				*log = append(*log, "do "+name)
				if name == failing {
					return errors.New("no room")
				}
				return nil
			},
			Undo: func() error { *log = append(*log, "undo "+name); return nil },
		})
	}
	return steps
}

func TestAFailingStepTakesBackWhatWasDoneTheLastFirst(t *testing.T) {
	var log []string
	var out bytes.Buffer
	err := Perform(&out, recorded(&log, "b", "a", "b", "c"), false)
	if err == nil || !strings.HasPrefix(err.Error(), "b: no room") {
		t.Errorf("error %v", err)
	}
	if want := []string{"do a", "do b", "undo b", "undo a"}; !slices.Equal(log, want) {
		t.Errorf("done %v, want %v", log, want)
	}
}

func TestADryRunNamesEveryStepAndDoesNone(t *testing.T) {
	var log []string
	var out bytes.Buffer
	if err := Perform(&out, recorded(&log, "", "a", "b"), true); err != nil || len(log) > 0 {
		t.Errorf("%v, done %v", err, log)
	}
	if want := "would a\nwould b\nNothing was changed.\n"; out.String() != want {
		t.Errorf("said %q", out.String())
	}
}
