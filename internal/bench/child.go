package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// childWord begins the arguments of a process that this program starts of itself.
const childWord = "child"

// children are the parts that run as processes of their own, each with one argument
// list.
var children = map[string]func(ctx context.Context, args []string) error{
	"echo":   echoChild,
	"agents": agentsChild,
	"agent":  agentChild,
	"hub":    hubChild,
}

// child runs a part until ctx ends.
func child(ctx context.Context, args []string, progress io.Writer) int {
	part := children[args[0]]
	if part == nil {
		fmt.Fprintf(progress, "bench: no part %q\n", args[0])
		return 2
	}
	if err := part(ctx, args[1:]); err != nil && ctx.Err() == nil {
		fmt.Fprintln(progress, "bench:", err)
		return 1
	}
	return 0
}

// self is the path of this program.
func self(s *stage) string {
	path, err := os.Executable()
	s.need(err)
	return path
}

// startSelf starts a part with a value as its setup, and waits until it says that it is
// ready.
func startSelf(s *stage, part string, setup any) *testenv.Child {
	dir := s.disk()
	text, err := json.Marshal(setup)
	s.need(err)
	file := filepath.Join(dir, "setup.json")
	s.need(os.WriteFile(file, text, 0o600))
	return testenv.Start(s, testenv.Command{Path: self(s), Args: []string{childWord, part, file}, Dir: dir, Log: part + ".log",
		Ready: func(context.Context) error { _, err := os.Stat(file + readyMark); return err }})
}

// readyMark is appended to the name of the setup file.
const readyMark = ".ready"

// load reads the setup of a part; ready tells the parent that it works.
func load(args []string, setup any) (ready func() error, err error) {
	text, err := os.ReadFile(args[0])
	if err != nil {
		return nil, err
	}
	return func() error { return os.WriteFile(args[0]+readyMark, nil, 0o600) }, json.Unmarshal(text, setup)
}

// An echoSetup is where the raw echo listens; CertDir is empty without TLS.
type echoSetup struct {
	Port    int
	CertDir string
}

func echoChild(ctx context.Context, args []string) error {
	var setup echoSetup
	ready, err := load(args, &setup)
	if err != nil {
		return err
	}
	srv := &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", setup.Port), Handler: http.HandlerFunc(echo), ReadHeaderTimeout: time.Minute}
	return serveUntil(ctx, srv, setup.CertDir, ready)
}

// An agentsSetup are tunnels of many agents in one process that answer every call with
// the same bytes. Raw ones open a websocket and say nothing.
type agentsSetup struct {
	URL, CAFile string
	HubKey      []byte
	Keys        []protocol.Keys
	Raw         bool
}

// atOnce is how many tunnels are being opened at the same time.
const atOnce = 64

func agentsChild(ctx context.Context, args []string) error {
	var setup agentsSetup
	ready, err := load(args, &setup)
	if err != nil {
		return err
	}
	var links sync.WaitGroup
	defer links.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, atOnce)
	var opening sync.WaitGroup
	for _, keys := range setup.Keys {
		slots <- struct{}{}
		opening.Go(func() {
			defer func() { <-slots }()
			if err := setup.open(ctx, keys, &links); err != nil {
				cancel(err)
			}
		})
	}
	opening.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// open opens one tunnel and serves it on a goroutine of its own.
func (s *agentsSetup) open(ctx context.Context, keys protocol.Keys, links *sync.WaitGroup) error {
	dialling, cancel := context.WithTimeout(ctx, dialLife)
	defer cancel()
	open := dialAsAgent
	if s.Raw {
		open = dial
	}
	ws, err := open(dialling, s.URL+protocol.Path, s.CAFile)
	if err != nil {
		return err
	}
	if s.Raw {
		links.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
			_, _, _ = ws.ReadMessage()
		})
		return nil
	}
	hello := protocol.Hello{Instance: fmt.Sprintf("bench-%x", keys.Public[:8]), Version: "bench", Time: time.Now()}
	link, _, err := protocol.Dial(dialling, &wire{ws: ws}, keys, s.HubKey, hubName, hello, answering{filled(answerBytes)})
	if err != nil {
		return err
	}
	links.Go(func() { _ = link.Run(ctx) })
	return nil
}

// serveUntil serves until ctx ends, and says when it listens.
func serveUntil(ctx context.Context, srv *http.Server, certDir string, ready func() error) error {
	ln, err := listen(ctx, srv.Addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := ready(); err != nil {
		return err
	}
	if certDir != "" {
		return srv.ServeTLS(ln, filepath.Join(certDir, "cert.pem"), filepath.Join(certDir, "key.pem"))
	}
	return srv.Serve(ln)
}
