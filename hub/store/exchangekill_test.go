package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the process that is killed gets from the one that kills it.
const (
	killedDir   = "POSTERN_TEST_KILLED_DIR"
	killedParty = "POSTERN_TEST_KILLED_PARTY" // environment and client_id
)

// signInUntilKilled writes the id of each exchange to standard output once something came of it.
func signInUntilKilled(t *testing.T, dir string) {
	s, err := Open(t.Context(), Config{Dir: dir, MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.DiscardHandler), Serves: true})
	if err != nil {
		t.Fatal(err)
	}
	env, id, _ := strings.Cut(os.Getenv(killedParty), " ")
	ctx, party := t.Context(), OIDCClient{Env: env, ID: id}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				e, err := signingIn(ctx, s, party, "one", "")
				for _, step := range []struct {
					do      func(context.Context, func(*Tx) error) error
					was, is string
				}{{s.Early, "pushed", "asked"}, {s.Early, "asked", "code"}, {s.Step, "code", "spent"}} {
					if err == nil {
						err = step.do(ctx, goingOn(ctx, e, "one", step.was, step.is))
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				fmt.Println("told", e.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestP07_WhatCameOfAnExchangeIsThereAfterAKill kills a process in the middle of many
// sign-ins: whoever was told finds the code spent and the log whole, and no sign-in is half there.
func TestP07_WhatCameOfAnExchangeIsThereAfterAKill(t *testing.T) {
	if dir := os.Getenv(killedDir); dir != "" {
		signInUntilKilled(t, dir)
		return
	}
	s, dir, party := rememberingUntil(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), killedDir+"="+dir, killedParty+"="+party.Env+" "+party.ID)
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), "told "); ok {
			told = append(told, id)
		}
		if len(told) == 200 {
			_ = child.Process.Kill() // what it said until then is still read
		}
	}
	if _ = child.Wait(); len(told) < 200 {
		t.Fatalf("it was killed after %d sign-ins", len(told))
	}
	s, err = Open(t.Context(), Config{Dir: dir, MasterKey: bytes.Repeat([]byte{1}, MasterKeySize), Log: slog.New(slog.DiscardHandler), Serves: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, id := range told {
		err := s.Step(t.Context(), goingOn(t.Context(), OIDCExchange{Env: party.Env, ID: id}, "one", "code", "spent"))
		if !errors.Is(err, ErrConflict) {
			t.Fatalf("a code that was redeemed: %v", err)
		}
	}
	steps := []string{"pushed", "asked", "code", "spent"}
	for _, line := range past(t, dir, "SELECT id || ' ' || state FROM oidc_exchanges") {
		id, state, _ := strings.Cut(line, " ")
		if kinds := past(t, dir, kindsOf, id); !slices.Equal(kinds, steps[:slices.Index(steps, state)+1]) {
			t.Errorf("%s, and the log tells of %v", state, kinds)
		}
	}
}
