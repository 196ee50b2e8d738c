package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Wine is a prefix of its own in which 64-bit programs for Windows run.
type Wine struct {
	dir string
	env []string
}

// NewWine makes a prefix (about 700 MB in memory, some ten seconds). It is stopped and
// removed when the test ends.
func NewWine(t testing.TB) *Wine {
	t.Helper()
	for _, program := range []string{"wine", "wineboot", "wineserver", "x86_64-w64-mingw32-as", "x86_64-w64-mingw32-ld"} {
		Need(t, program)
	}
	w := &Wine{dir: Dir(t)}
	w.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "WINEPREFIX=" + w.Prefix(), "WINEARCH=win64", "WINEDEBUG=-all,+eventlog", "DISPLAY=",
		"WINEDLLOVERRIDES=mscoree,mshtml=", // nothing asks to download them
	}
	t.Cleanup(func() {
		w.stop()
		if t.Failed() {
			t.Logf("events:\n%s", w.events())
		}
	})
	w.must(t, "wineboot", "-i")
	w.must(t, "wineserver", "-w") // a service that is installed within the first session does not start
	w.forward(t)
	w.must(t, "wineserver", "-p") // else services end seconds after the last other program
	return w
}

// events are what services wrote to the event log, which wine prints: it goes to the
// output of the program that began wine's session.
func (w *Wine) events() string {
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(w.dir, "out*"))
	for _, name := range files {
		text, _ := os.ReadFile(name)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, ":eventlog:") {
				all.WriteString(line)
			}
		}
	}
	return all.String()
}

// Prefix is the folder that holds drive_c.
func (w *Wine) Prefix() string { return filepath.Join(w.dir, "prefix") }

// C is the path here of a file on drive C:, with slashes.
func (w *Wine) C(path string) string { return filepath.Join(w.Prefix(), "drive_c", path) }

// Run runs a program of wine's and returns its exit code, modulo 256, and what it printed.
func (w *Wine) Run(ctx context.Context, args ...string) (code int, out string, err error) {
	cmd := exec.CommandContext(ctx, "wine", args...)
	cmd.Env = w.env
	cmd.WaitDelay = stopGrace // services keep the pipes open
	text, err := outputOf(cmd, w.dir)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), text, nil
	}
	return 0, text, err
}

// outputOf lets a command write to a file, which, unlike a pipe, does not wait for the
// services that the command started.
func outputOf(cmd *exec.Cmd, dir string) (string, error) {
	f, err := os.CreateTemp(dir, "out")
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	cmd.Stdout, cmd.Stderr = f, f
	err = cmd.Run()
	text, readErr := os.ReadFile(f.Name())
	return strings.ReplaceAll(string(text), "\r", ""), errors.Join(err, readErr)
}

func (w *Wine) must(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env, cmd.Dir = w.env, w.dir
	if out, err := outputOf(cmd, w.dir); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// forward adds the library that programs of Go 1.26 want and wine 8 lacks: the one
// function of it is in another library.
func (w *Wine) forward(t testing.TB) {
	t.Helper()
	for name, text := range map[string]string{"empty.s": "", "bcp.def": "LIBRARY bcryptprimitives.dll\nEXPORTS\nProcessPrng = advapi32.SystemFunction036\n"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.must(t, "x86_64-w64-mingw32-as", "empty.s", "-o", "empty.o")
	w.must(t, "x86_64-w64-mingw32-ld", "-shared", "--image-base", "0x180000000", "-o", w.C("windows/system32/bcryptprimitives.dll"), "empty.o", "bcp.def")
}

// stop ends every program of the prefix.
func (w *Wine) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	for _, arg := range []string{"-k", "-w"} {
		cmd := exec.CommandContext(ctx, "wineserver", arg)
		cmd.Env = w.env
		_ = cmd.Run() // none may run
	}
}

// Z is how wine's programs call a file of this machine.
func Z(path string) string { return fmt.Sprintf("Z:%s", strings.ReplaceAll(path, "/", `\`)) }
