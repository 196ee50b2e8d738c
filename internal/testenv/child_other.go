//go:build !linux

package testenv

import "os/exec"

// prepare does nothing: only Linux can tie a child's life to the test's.
func prepare(*exec.Cmd, string) error { return nil }

// give does nothing: servers that refuse root are started on Linux only.
func give(string, string) error { return nil }

// claimPort claims nothing: only Linux has sockets with names that are no files.
func claimPort(int) (release func(), ok bool) { return func() {}, true }
