package agent

import (
	"slices"
	"strings"
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

// A part that is read-only now and was written to before has what the loader filled in.
func TestWhatTheLoaderFilledInIsNotUnmapped(t *testing.T) {
	const entry = " 00000000 08:01 123  /usr/bin/postern-agent\nSize: 8 kB\nPrivate_Dirty: 0 kB\nAnonymous:            "
	smaps := "1000-3000 r-xp" + entry + "0 kB\nVmFlags: rd ex\n" + "3000-5000 r--p" + entry + "4 kB\nVmFlags: rd\n" + "5000-7000 r--p" + entry + "0 kB\n" +
		"7000-9000 rw-p" + entry + "0 kB\n" + "9000-b000 r--p 0 08:01 9  /usr/lib/libc.so\nAnonymous: 0 kB\n" + "b000-d000 r--p 0 08:01 123  /usr/bin/postern-agent\n"
	if got := clean(strings.NewReader(smaps), "/usr/bin/postern-agent"); !slices.Equal(got, []span{{0x1000, 0x3000}, {0x5000, 0x7000}}) {
		t.Errorf("%x", got)
	}
}

// The test program goes on, so nothing was taken that it needs.
func TestAProgramRunsOnAfterItsPagesWereUnmapped(t *testing.T) {
	if err := unmapProgram(); err != nil {
		t.Fatal(err)
	}
	TestOnlyWhatNobodyWritesOfTheProgramIsUnmapped(t)
}
