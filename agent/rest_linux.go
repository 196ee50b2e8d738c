package agent

import (
	"bufio"
	"fmt"
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
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer func() { _ = maps.Close() }()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		from, to, ok := readOnly(lines.Text(), program)
		if !ok {
			continue
		}
		if _, _, no := syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED); no != 0 {
			return no
		}
	}
	return nil
}

// readOnly returns the addresses of a line of /proc/self/maps (proc(5)) that stands for
// a part of the program's file that nobody writes to: what was written would be lost.
func readOnly(line, program string) (from, to uintptr, ok bool) {
	var rights, offset, device, inode string
	n, err := fmt.Sscanf(line, "%x-%x %s %s %s %s", &from, &to, &rights, &offset, &device, &inode)
	if err != nil || n != 6 || rights != "r-xp" && rights != "r--p" || !strings.HasSuffix(line, " "+program) {
		return 0, 0, false
	}
	return from, to, from < to
}
