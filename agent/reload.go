package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/proof"
)

// reloadEvery is how often the agent looks whether its file has changed: soon enough for
// somebody who has just saved it.
const reloadEvery = 3 * time.Second

// RunFile is Run for a file that may change: a new one is checked first, and then takes the
// place of the old one between two operations, while the tunnels are opened anew. One that
// cannot be used is said in the log and changes nothing. state_dir cannot change while the
// agent runs.
func RunFile(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for {
		life, cancel := context.WithCancel(ctx)
		r := &reloader{o: o, fresh: make(chan Config, 1), every: reloadEvery}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer cancel()
			r.watch(life)
		}()
		err := Run(life, o)
		cancel()
		<-ended
		if err != nil || ctx.Err() != nil {
			return err
		}
		select {
		case o.Config = <-r.fresh:
		default:
			return nil
		}
		o.Ready = nil // that was said
		o.Log.Info("the agent goes on with its new file", "file", o.Config.File.Name)
	}
}

// A reloader looks for a new file.
type reloader struct {
	o     Options
	fresh chan Config
	every time.Duration
}

// watch returns when ctx ends, or when a new file has been put into fresh.
func (r *reloader) watch(ctx context.Context) {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	refused := r.o.Config.File.Text // said once, not every few seconds
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		text, err := os.ReadFile(r.o.Config.File.Name)
		if err != nil || bytes.Equal(text, refused) {
			continue // gone for a moment, as editors do, or nothing new
		}
		if bytes.Equal(text, r.o.Config.File.Text) {
			refused = text
			continue
		}
		refused = text
		cfg, err := LoadConfig(r.o.Config.File.Name)
		if err == nil {
			err = r.usable(ctx, cfg)
		}
		if err != nil {
			r.o.Log.Error("the new file cannot be used; the agent goes on with the old one", "error", err)
			continue
		}
		r.fresh <- cfg
		return
	}
}

var errStateMoved = errors.New("state_dir cannot change while the agent runs: stop it first")

// usable opens what the file names, and closes it again.
func (r *reloader) usable(ctx context.Context, cfg Config) error {
	if cfg.StateDir != r.o.Config.StateDir {
		return errStateMoved
	}
	id, err := LoadIdentity(cfg.StateDir)
	if err != nil {
		return err
	}
	_, dialer := newDialer(id.Hub, cfg.Hub)
	_, rules := guard.New(cfg.Guard, nil, time.Now)
	_, anchors := proof.Open(cfg.Evidence)
	_, veto := newVeto(cfg.Evidence)
	_, mail := newMailer(cfg.SMTP)
	_, sms := newTexter(cfg.SMS, time.Now)
	if err := errors.Join(dialer, rules, anchors, veto, mail, sms); err != nil {
		return err
	}
	dir, err := r.o.Open(ctx, cfg.Kind(), cfg.File, r.o.Log)
	if err != nil {
		return err
	}
	return dir.Close()
}
