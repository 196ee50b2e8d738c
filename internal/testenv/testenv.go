// Package testenv starts real servers for tests, as children of the test process on
// loopback addresses, waits until they answer, and leaves nothing behind. It never
// installs anything and knows nothing of the product.
package testenv

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// searched are directories that hold servers and are not on every user's PATH.
var searched = []string{"/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/lib/postgresql/*/bin"}

// Need returns the path of a program. Where it is missing the test is skipped, but
// fails under CI=true, so that a missing server never goes unnoticed there.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := Look(program)
	if err != nil {
		Missing(t, program)
	}
	return path
}

// Look finds a program on the PATH and in the directories where servers live.
func Look(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, pattern := range searched {
		found, _ := filepath.Glob(filepath.Join(pattern, program))
		for i := len(found) - 1; i >= 0; i-- { // the newest version
			if path, err := exec.LookPath(found[i]); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("testenv: %s is not installed", program)
}

// Missing skips the test, or fails it under CI=true, because what is not here.
func Missing(t testing.TB, what string) {
	t.Helper()
	skip(t, what+" is not installed (make deps installs it)")
}

// NeedRoot skips a test of what only root can do where somebody else runs it, or fails
// it under CI=true.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "only root can do what this tests (run it as root)")
	}
}

// skip is the only place that skips: never where CI=true.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s, and CI=true allows no skip", why)
	}
	t.Skipf("%s: skipped", why)
}

// Ports stay below 32768, where the kernel's ephemeral ports begin: a server on a
// higher one can lose its port to an outgoing connection between two starts.
const (
	lowestPort  = 12000
	highestPort = 32700
	portTries   = 200
)

// FreePort returns a TCP and UDP port that nothing uses on 127.0.0.1 at this moment, and
// that is given to no other test on this machine (Linux) until this one ends.
func FreePort(t testing.TB) int {
	t.Helper()
	port, release, err := freePort(lowestPort, highestPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return port
}

// freePort is FreePort from lowest to below highest; the caller releases the port.
func freePort(lowest, highest uint32) (port int, release func(), err error) {
	for range portTries {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails
		port := int(lowest + binary.BigEndian.Uint32(b[:])%(highest-lowest))
		release, ok := claimPort(port)
		if ok && portIsFree(port) {
			return port, release, nil
		}
		if ok {
			release()
		}
	}
	return 0, nil, fmt.Errorf("testenv: no free port in %d tries", portTries)
}

func portIsFree(port int) bool {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = l.Close() }()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return u.Close() == nil
}

// Dir returns a new directory with a short path (unix sockets allow about 100 bytes),
// in memory where the system has /dev/shm. It is removed when the test ends.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := ShortDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove %s: %v", dir, err)
		}
	})
	return dir
}

// ShortDir is Dir for servers that outlive one test. The caller removes it.
func ShortDir() (string, error) {
	base := "/dev/shm"
	if _, err := os.Stat(base); err != nil {
		base = os.TempDir()
	}
	return os.MkdirTemp(base, "pt")
}

// shared holds the servers that live as long as the test process.
var shared struct {
	sync.Mutex
	running bool // Run will stop them
	stops   []func()
}

// Run runs the tests of a package and then stops the servers that they shared. A
// package that uses SharedPostgres and its like says
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }
func Run(m *testing.M) int {
	shared.Lock()
	shared.running = true
	shared.Unlock()
	defer func() {
		shared.Lock()
		defer shared.Unlock()
		for i := len(shared.stops) - 1; i >= 0; i-- {
			shared.stops[i]()
		}
	}()
	return m.Run()
}

// AtEnd registers stop to be called when Run ends. It fails the test in a package
// whose TestMain does not call Run.
func AtEnd(t testing.TB, stop func()) {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.running {
		stop()
		t.Fatal("a shared server needs: func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }")
	}
	shared.stops = append(shared.stops, stop)
}
