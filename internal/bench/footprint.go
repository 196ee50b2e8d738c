package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// settled is how long an agent does nothing before it counts as idle.
const settled = 5 * time.Second

const megabyte = 1 << 20

// measureAgent starts the product's agent with the demo directory, which is an LDAP
// server within it, anew in each round.
func measureAgent(s *stage, rounds int) []row {
	path := build(s, agentPackage)
	info, err := os.Stat(path)
	s.need(err)
	h := startHub(s, store.Config{Dir: s.disk()}, true)
	var resident series
	for range rounds {
		s.act(func(s *stage) {
			child, ticket := h.enrol(s, program{path: path}, "demo", `kind = "demo"`)
			s.need(h.connected(s.ctx, ticket.Directory))
			s.wait(settled)
			bytes, err := residentOf(child.PID())
			s.need(err)
			resident = append(resident, bytes/megabyte)
		})
	}
	return []row{
		{name: "agent: resident when idle, demo directory", unit: "MB", ours: resident, goal: valueAtMost(11)},
		{name: "agent: program, stripped", unit: "MB", ours: series{float64(info.Size()) / megabyte}, goal: valueAtMost(9)},
	}
}

// residentOf returns the bytes of a process that are in memory, as Linux tells.
func residentOf(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(status)
	if len(fields) < 2 {
		return 0, fmt.Errorf("bench: statm of %d: %q", pid, status)
	}
	pages, err := strconv.Atoi(string(fields[1]))
	return float64(pages * os.Getpagesize()), err
}

// peakOf returns the most bytes that a process has had in memory, as Linux tells.
func peakOf(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kilobytes int
	_, err = fmt.Sscan(string(rest), &kilobytes)
	return float64(kilobytes) * 1024, err
}
