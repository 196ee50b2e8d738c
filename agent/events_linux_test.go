package agent

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// eventsIn are the events of a log; what is no event is counted.
func eventsIn(t *testing.T, path string) (methods []string, torn int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var e event
		if json.Unmarshal(line, &e) != nil {
			torn++
			continue
		}
		methods = append(methods, e.Method)
	}
	return methods, torn
}

func TestAnEventAfterHalfALineIsReadable(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, eventsFile)
	if err := os.WriteFile(path, []byte(`{"method":"begin"}`+"\n"+`{"method":"perf`), 0o600); err != nil { // a process was killed
		t.Fatal(err)
	}
	l, err := openEvents(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close() }()
	for _, method := range []string{"outcome", "drop"} {
		if err := l.write(event{Method: method}); err != nil {
			t.Fatal(err)
		}
	}
	if methods, torn := eventsIn(t, path); torn != 1 || len(methods) != 3 || methods[1] != "outcome" || methods[2] != "drop" {
		t.Errorf("events %q, and %d lines that are none", methods, torn)
	}
}

// A full disk takes a part of a line. The part is not left.
func TestAFullDiskLeavesNoHalfEvent(t *testing.T) {
	testenv.NeedRoot(t)
	dir := t.TempDir()
	if err := syscall.Mount("events", dir, "tmpfs", 0, "size=4k"); err != nil {
		testenv.Missing(t, "the right to mount a tmpfs: "+err.Error())
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	l, err := openEvents(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close() }()
	written := 0
	for ; l.write(event{Method: "begin", Message: "to fill the page"}) == nil; written++ {
		if written > 1000 {
			t.Fatal("the disk is not full")
		}
	}
	if err := l.write(event{}); err != nil {
		t.Logf("a shorter one: %v", err)
	} else {
		written++
	}
	if methods, torn := eventsIn(t, filepath.Join(dir, eventsFile)); torn != 0 || len(methods) != written || written == 0 {
		t.Errorf("%d events of %d, and %d lines that are none", len(methods), written, torn)
	}
}
