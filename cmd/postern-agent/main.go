// Command postern-agent runs in the customer's network: it enrols, serves the hub by
// outbound tunnels, and changes accounts of one directory within the limits of its
// own file.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes: service managers restart on any but 0.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// number is the version, set by the linker.
var number string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], std{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// std are the standard streams.
type std struct {
	in       io.Reader
	out, err io.Writer
}

// A command is one word after the program's name.
type command struct {
	name, does string
	help       string // what it does, in sentences, with examples
	run        func(ctx context.Context, args []string, s std) error
}

func commands() []command {
	return []command{
		{"install", "make the agent a service of this machine", installHelp, install},
		{"uninstall", "remove the service", uninstallHelp, uninstall},
		{"start", "start the service", startHelp, start},
		{"stop", "stop the service", stopHelp, stop},
		{"status", "say whether the service runs, and as whom", statusHelp, status},
		{"enroll", "redeem a ticket of the hub, once", enrollHelp, enroll},
		{"run", "serve the hub until stopped", runHelp, serve},
		{"doctor", "find out what is wrong, and change nothing", doctorHelp, examine},
		{"check", "the same as doctor", checkHelp, check},
		{"policy", "say what the agent's file does with an account, and why", policyHelp, policy},
		{"approver", "add, list and remove those who may approve", approverHelp, approver},
		{"key", "list the passkeys that were let in, and remove one", keyHelp, key},
		{"held", "list what the agent holds for a delay", heldHelp, held},
		{"cancel", "end a recovery for good", cancelHelp, cancel},
		{"accept-log", "show two histories of the hub's audit log, and accept one", acceptHelp, acceptLog},
		{"log-key", "print the fingerprint of the key of the hub's audit log", logKeyHelp, logKey},
		{"config", "print a sample of the configuration file", configHelp, config},
		{"version", "print the version", versionHelp, printVersion},
	}
}

// run is main without the process.
func run(ctx context.Context, args []string, s std) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(s.out)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return exitOf(c.run(ctx, args[1:], s), s)
		}
	}
	fmt.Fprintf(s.err, "postern-agent: unknown command %q\n\n", args[0])
	usage(s.err)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "postern-agent changes accounts of one directory for a Postern hub, by outbound connections only.\n\nUsage:\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  postern-agent %-10s  %s\n", c.name, c.does)
	}
	fmt.Fprintf(w, "\nEvery command has --help. The configuration file is %s unless --config names another.\n", defaultConfig())
}
