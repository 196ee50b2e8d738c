package testenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Limits of a child's life.
const (
	startWithin = 60 * time.Second      // the machine may be busy; a healthy server answers in one
	stopGrace   = 10 * time.Second      // from the polite signal to SIGKILL
	pollEvery   = 20 * time.Millisecond // between two questions whether it answers
	logTail     = 4 << 10               // bytes of the log shown when a child fails
)

// A Command says how to start a child.
type Command struct {
	Path  string
	Args  []string
	Env   []string      // in addition to a minimal environment
	Dir   string        // working directory; the log is written there
	User  string        // run as this user, if the test runs as root; "" as the test
	Stop  os.Signal     // the polite signal; nil is SIGTERM
	Grace time.Duration // how long it may take after that; 0 is 10 s
	// Ready returns nil once the child answers. It is asked until it does.
	Ready func(context.Context) error
	Log   string // file name of the log in Dir; "" is the program's name + ".log"
}

// A Child is a running server. It ends with the test process, even a killed one.
type Child struct {
	cmd   *exec.Cmd
	stop  os.Signal
	grace time.Duration
	log   string
	done  chan struct{}
	once  sync.Once
}

// Start starts a child and waits until it answers. It is stopped when the test ends.
func Start(t testing.TB, c Command) *Child {
	t.Helper()
	child, err := StartChild(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(child.Stop)
	return child
}

// StartChild is Start for servers that outlive one test. The caller calls Stop.
func StartChild(c Command) (*Child, error) {
	name := c.Log
	if name == "" {
		name = filepath.Base(c.Path) + ".log"
	}
	log, err := os.OpenFile(filepath.Join(c.Dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("testenv: log of %s: %w", c.Path, err)
	}
	defer func() { _ = log.Close() }()
	cmd, err := command(context.Background(), c)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	child := &Child{cmd: cmd, stop: c.Stop, grace: cmp.Or(c.Grace, stopGrace), log: log.Name(), done: make(chan struct{})}
	if child.stop == nil {
		child.stop = syscall.SIGTERM
	}
	if err := child.run(); err != nil {
		return nil, fmt.Errorf("testenv: start %s: %w", c.Path, err)
	}
	if c.Ready == nil {
		return child, nil
	}
	if err := child.await(c.Ready); err != nil {
		child.Stop()
		return nil, err
	}
	return child, nil
}

// RunAs runs a program to its end, as user if the test is root, and returns an error
// that holds its output.
func RunAs(ctx context.Context, user, dir, path string, args ...string) error {
	cmd, err := command(ctx, Command{Path: path, Args: args, Dir: dir, User: user})
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(path), err, out)
	}
	return nil
}

func command(ctx context.Context, c Command) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, c.Path, c.Args...) // stdin nil is /dev/null
	cmd.Dir = c.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=" + c.Dir}, c.Env...)
	return cmd, prepare(cmd, c.User)
}

// run starts the process from an OS thread that lives as long as it does: the
// kernel signals the child when the thread that made it ends.
func (c *Child) run() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait()
			close(c.done)
		}
	}()
	return <-started
}

func (c *Child) await(ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("testenv: %s ended at once (%s): %s", c.cmd.Path, c.cmd.ProcessState, c.Tail())
		case <-ctx.Done():
			return fmt.Errorf("testenv: %s does not answer: %w: %s", c.cmd.Path, errors.Join(err, ctx.Err()), c.Tail())
		case <-tick.C:
		}
	}
}

// PID is the child's process id.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// LogFile is the path of the child's standard output and error.
func (c *Child) LogFile() string { return c.log }

// Tail returns the end of the child's log.
func (c *Child) Tail() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-logTail):])
}

// Done is closed when the child has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Signal sends a signal to the child's process.
func (c *Child) Signal(s os.Signal) error { return c.cmd.Process.Signal(s) }

// Kill ends the child at once, as a crash would, and waits for its end.
func (c *Child) Kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// Stop ends the child politely, after a grace period by force, and waits for its end.
func (c *Child) Stop() {
	c.once.Do(func() {
		_ = c.cmd.Process.Signal(c.stop)
		grace := time.NewTimer(c.grace)
		defer grace.Stop()
		select {
		case <-c.done:
		case <-grace.C:
			_ = c.cmd.Process.Kill()
			<-c.done
		}
	})
}
