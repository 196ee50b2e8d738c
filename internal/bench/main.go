// Command bench measures this Postern against raw peers (ldapsearch, a websocket echo,
// Caddy's respond, fosite) in one run on one machine, and prints a table of ratios for people.
// It starts what it measures itself, fails on no number, and knows no product secret.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

// An experiment measures some rows of the table, interleaved round by round.
type experiment struct {
	name, about string
	run         func(s *stage, rounds int) []row
}

func experiments() []experiment {
	return []experiment{
		{"sync", "100,000 entries of slapd through agent and tunnel, against ldapsearch", measureSync},
		{"syncpg", "the same into PostgreSQL", measureSyncPostgres},
		{"tunnel", "round trips through a tunnel, against a raw websocket echo", measureTunnel},
		{"operations", "operations at once, and a look-up behind a long one", measureOperations},
		{"idle", "10,000 tunnels that have nothing to do", measureIdle},
		{"agent", "memory and size of the agent", measureAgent},
		{"audit", "audit events: durable appends against one by one, searches among a million", measureAudit},
		{"page", "the start page of a recovery site, against Caddy's respond with the same bytes", measurePage},
		{"oidc", "sign-ins of an application, against fosite and zitadel/oidc; its key set, against Caddy's respond", measureOIDC},
	}
}

// Bounds of a run. An experiment of five rounds takes one to three minutes.
const (
	leastRounds    = 5 // medians of fewer say nothing
	mostRounds     = 50
	experimentLife = 15 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := 0
	if len(os.Args) > 2 && os.Args[1] == childWord {
		code = child(ctx, os.Args[2:], os.Stderr)
	} else {
		code = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	stop()
	os.Exit(code)
}

// run is main without the process.
func run(ctx context.Context, args []string, out, progress io.Writer) int {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(progress)
	only := f.String("only", "", "names of experiments, separated by commas; empty: all")
	rounds := f.Int("rounds", leastRounds, "interleaved rounds of each experiment")
	profile := f.String("profile", "", "file for a CPU profile of this process, which is the hub")
	f.Usage = func() { usage(progress, f) }
	if err := f.Parse(args); err != nil || f.NArg() > 0 {
		return 2
	}
	chosen, err := choose(*only)
	if err != nil {
		fmt.Fprintln(progress, err)
		return 2
	}
	if *rounds < leastRounds || *rounds > mostRounds {
		fmt.Fprintf(progress, "bench: -rounds is %d to %d\n", leastRounds, mostRounds)
		return 2
	}
	stop, err := startProfile(*profile)
	if err != nil {
		fmt.Fprintln(progress, err)
		return 1
	}
	defer stop()
	var t table
	for _, e := range chosen {
		if ctx.Err() != nil {
			return 1
		}
		began := time.Now()
		fmt.Fprintf(progress, "%s: %s …\n", e.name, e.about)
		rows, missing := perform(ctx, e, *rounds, progress)
		t.add(e.name, rows, missing)
		fmt.Fprintf(progress, "%s: %s\n", e.name, time.Since(began).Round(time.Second))
	}
	t.print(out, *rounds)
	return 0
}

// startProfile writes a profile until stop is called; an empty path means none.
func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, pprof.StartCPUProfile(f)
}

func usage(w io.Writer, f *flag.FlagSet) {
	fmt.Fprintln(w, "go run ./internal/bench [-only names] [-rounds n]")
	for _, e := range experiments() {
		fmt.Fprintf(w, "  %-10s %s\n", e.name, e.about)
	}
	f.PrintDefaults()
}

// choose returns the experiments that were named.
func choose(only string) ([]experiment, error) {
	all := experiments()
	if only == "" {
		return all, nil
	}
	names := strings.Split(only, ",")
	for _, n := range names {
		if !slices.ContainsFunc(all, func(e experiment) bool { return e.name == n }) {
			return nil, fmt.Errorf("bench: no experiment %q; -h lists them", n)
		}
	}
	return slices.DeleteFunc(all, func(e experiment) bool { return !slices.Contains(names, e.name) }), nil
}
