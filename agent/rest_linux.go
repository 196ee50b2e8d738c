package agent

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// unmapProgram takes the program's own pages that are only read out of this process's
// memory. They stay in the system's page cache, from which whatever runs next has them
// back in microseconds: a start touches nearly all of a program, an idle agent a part.
func unmapProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer func() { _ = maps.Close() }()
	for _, part := range clean(maps, program) {
		if _, _, no := syscall.Syscall(syscall.SYS_MADVISE, part.from, part.to-part.from, syscall.MADV_DONTNEED); no != 0 {
			return no
		}
	}
	return nil
}

// A span is a piece of memory, from an address up to another one.
type span struct{ from, to uintptr }

// clean returns the parts of the program's file, in the form of /proc/self/smaps (proc(5)),
// that nobody writes to and nobody has written to: what is read-only today may be what the
// loader filled in at the start (a program that was linked by a C compiler, or as one that
// lies anywhere), and would be lost.
func clean(smaps io.Reader, program string) (all []span) {
	var at span
	mine := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		if written, is := strings.CutPrefix(line, "Anonymous:"); is {
			if mine && strings.TrimSpace(written) == "0 kB" {
				all = append(all, at)
			}
			mine = false
		} else if from, to, ok := readOnly(line, program); ok {
			at, mine = span{from, to}, true
		}
	}
	return all
}

// readOnly returns the addresses of the first line of an entry that stands for a part of
// the program's file that nobody writes to now.
func readOnly(line, program string) (from, to uintptr, ok bool) {
	var rights, offset, device, inode string
	n, err := fmt.Sscanf(line, "%x-%x %s %s %s %s", &from, &to, &rights, &offset, &device, &inode)
	if err != nil || n != 6 || rights != "r-xp" && rights != "r--p" || !strings.HasSuffix(line, " "+program) {
		return 0, 0, false
	}
	return from, to, from < to
}
