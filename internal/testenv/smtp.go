package testenv

import (
	"context"
	"testing"

	"github.com/postern-id/postern/hub/notify/mailbox"
)

// StartSMTP starts a mail server in the test process, which keeps what it is given and
// ends with the test. Addr is a free loopback port if empty.
func StartSMTP(t testing.TB, cfg mailbox.Config) *mailbox.Server {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	s, err := mailbox.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("mail server: %v", err)
		}
	})
	return s
}
