// Package demo starts everything on one machine with a small company: edge and hub
// in this process, the agent as its own, a mail server in memory with a page that
// shows what was sent. It shows the product and is no part of it.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-id/postern/agent/directory/demo"
	"github.com/postern-id/postern/hub"
	"github.com/postern-id/postern/hub/notify/mailbox"
)

// siteHost is the demo's recovery domain. Browsers resolve *.localhost themselves.
const siteHost = "recovery.localhost"

// company is the organisation's and the directory's name.
const company = "Lindenhof"

// mailboxHost shows the mails.
const mailboxHost = "mailbox.localhost"

// Options say where and how the demo runs.
type Options struct {
	HTTPPort int    // of everything that a browser opens; 0: a free one
	DataDir  string // "": a folder that is removed at the end
	JSON     bool   // print one line for scripts instead of the text for people
	Agent    string // path of postern-agent
	Out      io.Writer
}

// A Description is what the demo prints for scripts.
type Description struct {
	Site      string     `json:"site"`
	Console   string     `json:"console"`
	Mailbox   string     `json:"mailbox"`
	Wallet    string     `json:"wallet"`
	Approver  string     `json:"approver,omitempty"` // makes the key of somebody who vouches, once
	Hub       string     `json:"hub"`
	Env       string     `json:"env"`
	Directory string     `json:"directory"`
	APIKey    string     `json:"api_key"`
	Accounts  []Employee `json:"accounts"`
}

// An Employee is somebody of the demo's company.
type Employee struct {
	Email         string `json:"email"`
	Name          string `json:"name"`
	PersonalEmail string `json:"personal_email"`
	Note          string `json:"-"` // what is special about the account, for people
}

// employees are those who have an address for a code; demo.Accounts has more.
func employees() []Employee {
	var all []Employee
	for _, a := range demo.Accounts() {
		if a.PersonalEmail != "" {
			all = append(all, Employee{a.Email, a.Name, a.PersonalEmail, a.Note})
		}
	}
	return all
}

// Run starts the demo, prints what it is, and serves until ctx ends. It leaves
// nothing running and, unless a data folder was named, nothing behind.
func Run(ctx context.Context, o Options) error {
	r, err := newRun(o)
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("%w (log: %s)", err, r.logFile())
	}
	if err := r.print(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-r.agentEnded:
		return fmt.Errorf("the agent ended: %w (log: %s)", err, r.logFile())
	}
}

// A run is one demo. close undoes what start did, whatever came of it.
type run struct {
	Options
	temporary  bool
	log        *slog.Logger
	mail       *mailbox.Server
	page       *page
	pocket     *pocket
	caddy      bool
	agentEnded chan error
	ldapPort   int // of the demo directory, on loopback

	cancel context.CancelFunc
	wg     sync.WaitGroup
	desc   Description
	undo   []func()
}

func newRun(o Options) (*run, error) {
	r := &run{Options: o, agentEnded: make(chan error, 1)}
	if r.DataDir == "" {
		dir, err := os.MkdirTemp("", "postern-demo-")
		if err != nil {
			return nil, err
		}
		r.DataDir, r.temporary = dir, true
	}
	dir, err := filepath.Abs(r.DataDir)
	if err != nil {
		return nil, err
	}
	r.DataDir = dir
	return r, os.MkdirAll(dir, 0o700)
}

func (r *run) logFile() string { return filepath.Join(r.DataDir, "demo.log") }

// start brings up mail, edge, directory and agent, in this order.
func (r *run) start(ctx context.Context) error {
	ctx, r.cancel = context.WithCancel(ctx)
	if err := r.openLog(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{r.startMail, r.install, r.startWallet, r.startEdge, r.trust, r.addDirectory, r.invite, r.startAgent, r.sync} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) openLog() error {
	f, err := os.OpenFile(r.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	r.undo = append(r.undo, func() { _ = f.Close() })
	r.log = slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return nil
}

// close stops what runs, the newest first, and removes a temporary folder.
func (r *run) close() {
	if r.cancel != nil {
		r.cancel()
	}
	if r.caddy {
		_ = caddy.Stop()
	}
	r.wg.Wait()
	for i := len(r.undo) - 1; i >= 0; i-- {
		r.undo[i]()
	}
	if r.temporary {
		_ = os.RemoveAll(r.DataDir)
	}
}

func (r *run) startMail(ctx context.Context) (err error) {
	if r.mail, err = mailbox.Listen(mailbox.Config{Addr: "127.0.0.1:0"}); err != nil {
		return err
	}
	if r.page, err = newPage(r.mail); err != nil {
		return err
	}
	r.wg.Go(func() { _ = r.mail.Serve(ctx) })
	r.wg.Go(func() { r.page.serve(ctx) })
	return nil
}

func (r *run) startWallet(ctx context.Context) (err error) {
	if r.pocket, err = newPocket(r.HTTPPort); err != nil {
		return err
	}
	r.wg.Go(func() { r.pocket.serve(ctx) })
	return nil
}

// saved is what a later run in the same data folder goes on with.
type saved struct {
	Env, Directory, APIKey string
}

func (r *run) savedFile() string { return filepath.Join(r.DataDir, "demo.json") }

// install makes the organisation, or goes on with that of a former run.
func (r *run) install(ctx context.Context) error {
	if r.HTTPPort == 0 {
		port, err := freePort()
		if err != nil {
			return err
		}
		r.HTTPPort = port
	}
	cfg := r.config()
	r.desc = Description{
		Site: r.address(siteHost), Mailbox: r.address(mailboxHost), Wallet: r.address(walletHost), Hub: r.hubURL(), Accounts: employees(),
	}
	in, err := hub.Install(ctx, cfg, company, "Demo")
	if errors.Is(err, hub.ErrInstalled) {
		return r.resume(ctx, cfg)
	}
	if err != nil {
		return err
	}
	r.desc.Env, r.desc.APIKey, r.desc.Console = in.Environment, in.Key.Reveal(), in.ConsoleLink.Reveal()
	return r.save()
}

// config is what commands beside the running hub are given.
func (r *run) config() hub.Config {
	return hub.Config{DataDir: r.DataDir, PublicURL: r.hubURL(), Log: r.log}
}

func (r *run) resume(ctx context.Context, cfg hub.Config) error {
	b, err := os.ReadFile(r.savedFile())
	if err != nil {
		return fmt.Errorf("%s holds something else than a demo: %w", r.DataDir, err)
	}
	var s saved
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s: %w", r.savedFile(), err)
	}
	link, err := hub.NewConsoleLink(ctx, cfg)
	r.desc.Env, r.desc.Directory, r.desc.APIKey, r.desc.Console = s.Env, s.Directory, s.APIKey, link.Reveal()
	return err
}

func (r *run) save() error {
	b, err := json.Marshal(saved{r.desc.Env, r.desc.Directory, r.desc.APIKey})
	if err != nil {
		return err
	}
	return os.WriteFile(r.savedFile(), b, 0o600)
}

func (r *run) address(host string) string { return fmt.Sprintf("http://%s:%d", host, r.HTTPPort) }
func (r *run) hubURL() string             { return r.address("localhost") }

// startTimeout bounds every wait for a part to come up.
const startTimeout = time.Minute
