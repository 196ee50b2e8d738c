package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/hub/signer"
)

const signerHelp = `
Stands before an agent of the SSH agent protocol, OpenSSH's own for example, and lets the
hub reach two things there alone: the list of keys, and signatures of tokens. Run it as the
user of the agent, who is not that of the hub, and name its socket in the Caddyfile by
"signer". Each signature is a line of its log, which the hub cannot reach.`

const signerExample = `  postern signer --agent unix//run/postern-signer/agent.sock --listen unix//run/postern-signer/hub.sock --key SHA256:…`

// socketMode lets the group of the socket ask: the hub is one of it.
const socketMode = 0o660

// signerCommand registers the flags of "signer".
func signerCommand(c *cobra.Command) {
	var to, listen string
	var keys []string
	c.Flags().StringVar(&to, "agent", "", "socket of the agent: unix//path")
	c.Flags().StringVar(&listen, "listen", "", "socket for the hub: unix//path; its group may ask")
	c.Flags().StringArrayVar(&keys, "key", nil, "fingerprint of a key that may be used, as ssh-add -l prints it; may be repeated; by default all may")
	c.Example, c.Args = signerExample, cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return runSigner(ctx, c, to, listen, keys)
	}
}

func runSigner(ctx context.Context, c *cobra.Command, to, listen string, keys []string) error {
	path, err := signer.Path(listen)
	if err != nil || path == "" || to == "" {
		return errors.New("want --agent and --listen, each unix//path/of/a/socket")
	}
	if slices.ContainsFunc(keys, func(k string) bool { return !strings.HasPrefix(k, "SHA256:") }) {
		return errors.New("--key: want a fingerprint as ssh-add -l prints it: SHA256:…")
	}
	behind, err := signer.New(to)
	if err != nil {
		return err
	}
	defer func() { _ = behind.Close() }()
	l, err := listenAt(path)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
	log.InfoContext(ctx, "the gate stands", "agent", to, "listen", listen, "keys", keys)
	return (&signer.Gate{To: behind, Keys: keys, Log: log}).Serve(ctx, l)
}

// listenAt listens at a socket of which nothing is left but the name, if anything is.
func listenAt(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: somebody answers there already", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
