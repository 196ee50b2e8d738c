package testenv

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

func TestPortIsFreeAndBelowTheEphemeralRange(t *testing.T) {
	for range 20 {
		if p := FreePort(t); p < lowestPort || p >= 32768 || !portIsFree(p) {
			t.Fatalf("port %d", p)
		}
	}
}

func TestDirIsShortAndGoesWithTheTest(t *testing.T) {
	var dir string
	t.Run("inner", func(t *testing.T) {
		dir = Dir(t)
		if len(dir) > 40 {
			t.Fatalf("%s is too long for a unix socket", dir)
		}
	})
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s is still there: %v", dir, err)
	}
}

func TestChildThatEndsAtOnceIsReportedWithItsLog(t *testing.T) {
	_, err := StartChild(Command{
		Path: Need(t, "sh"), Args: []string{"-c", "echo no such thing >&2; exit 3"}, Dir: Dir(t),
		Ready: func(context.Context) error { return errors.New("not yet") },
	})
	if err == nil || !strings.Contains(err.Error(), "no such thing") || !strings.Contains(err.Error(), "status 3") {
		t.Fatalf("error %v", err)
	}
}

func TestStopEndsAChildThatIgnoresSIGTERM(t *testing.T) {
	c := Start(t, Command{
		Path: Need(t, "sh"), Args: []string{"-c", "trap '' TERM; echo up; while :; do read x </dev/zero; done"},
		Dir: Dir(t), Log: "log", Grace: 50 * time.Millisecond,
	})
	for c.Tail() != "up\n" {
		runtime.Gosched()
	}
	c.Stop()
	c.Stop() // a second stop is harmless
	if s := c.cmd.ProcessState.String(); s != "signal: killed" {
		t.Fatal(s)
	}
}

func TestPostgresComesBackWithItsDatabases(t *testing.T) {
	psql := Need(t, "psql")
	p := StartPostgres(t)
	url := p.Database(t)
	query := func(sql string) (string, error) {
		out, err := exec.CommandContext(t.Context(), psql, "-qtA", "-c", sql, url).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if out, err := query("create table t(a int); insert into t values (7)"); err != nil {
		t.Fatal(out, err)
	}
	p.Stop()
	if out, err := query("select a from t"); err == nil {
		t.Fatalf("a stopped server answered %q", out)
	}
	p.Start(t)
	if out, err := query("select a from t"); err != nil || out != "7" {
		t.Fatal(out, err)
	}
}

func TestSharedPostgresIsOneServerWithManyDatabases(t *testing.T) {
	a, b := SharedPostgres(t), SharedPostgres(t)
	if a != b || a.Database(t) == b.Database(t) {
		t.Fatal("want one server and two databases")
	}
}
