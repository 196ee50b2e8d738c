package agent

import (
	"testing"
)

func TestOnlyWhatNobodyWritesOfTheProgramIsUnmapped(t *testing.T) {
	for line, want := range map[string]bool{
		"00400000-009a7000 r-xp 00000000 08:01 123  /usr/bin/postern-agent":  true,
		"009a7000-00f29000 r--p 005a7000 08:01 123  /usr/bin/postern-agent":  true,
		"00f29000-00fa6000 rw-p 00b29000 08:01 123  /usr/bin/postern-agent":  false,
		"00400000-009a7000 r-xs 00000000 08:01 123  /usr/bin/postern-agent":  false,
		"7f0000000000-7f0000001000 r-xp 00000000 08:01 9  /usr/lib/libc.so":  false,
		"7f0000000000-7f0000001000 rw-p 00000000 00:00 0":                    false,
		"009a7000-00400000 r--p 005a7000 08:01 123  /usr/bin/postern-agent":  false,
		"nonsense /usr/bin/postern-agent":                                    false,
		"00400000-009a7000 r-xp 00000000 08:01 123  /opt/usr/bin/other-tool": false,
	} {
		if from, to, ok := readOnly(line, "/usr/bin/postern-agent"); ok != want || ok && from >= to {
			t.Errorf("%s: %x-%x %v", line, from, to, ok)
		}
	}
}

// The test program goes on, so nothing was taken that it needs.
func TestAProgramRunsOnAfterItsPagesWereUnmapped(t *testing.T) {
	if err := unmapProgram(); err != nil {
		t.Fatal(err)
	}
	TestOnlyWhatNobodyWritesOfTheProgramIsUnmapped(t)
}
