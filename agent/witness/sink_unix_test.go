//go:build unix

package witness

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCheckpointsReachTheSyslogOfTheMachine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	ln, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	o := &syslogOutput{network: "unixgram", address: path}
	defer o.close()
	line := `{"event":"witnessed","checkpoint":"` + strings.Repeat("n", 800) + `"}`
	if err := o.write([]byte(line)); err != nil {
		t.Fatal(err)
	}
	if err := ln.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8192)
	n, err := ln.Read(buf)
	if err != nil || !strings.Contains(string(buf[:n]), "postern-agent") || !strings.Contains(string(buf[:n]), line) {
		t.Errorf("%q, %v", buf[:n], err)
	}
	away := &syslogOutput{network: "unixgram", address: path + ".none"}
	if err := away.write([]byte(line)); err == nil {
		t.Error("a syslog that is not there took it")
	}
}
