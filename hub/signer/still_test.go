//go:build unix

package signer_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/signer"
	"github.com/postern-id/postern/internal/testenv"
)

func TestAnAgentThatStandsStillIsAwayAfterFiveSecondsForEverybodyAtOnce(t *testing.T) {
	agent := testenv.StartSSHAgent(t, nil)
	a := at(t, agent.Socket)
	fingerprint, _ := agent.Make(t, testenv.SSHP256)
	key := signs(t, a, fingerprint)
	agent.Signal(t, syscall.SIGSTOP)
	begun := time.Now()
	for _, err := range inParallel(64, func() error { _, err := a.Sign(t.Context(), key, []byte("x")); return err }) {
		if !errors.Is(err, signer.ErrAway) {
			t.Errorf("%v", err)
		}
	}
	if took := time.Since(begun); took > 12*time.Second { // asked, and what is to be said of it
		t.Errorf("took %v", took)
	}
	agent.Signal(t, syscall.SIGCONT)
	signs(t, a, fingerprint)
}
