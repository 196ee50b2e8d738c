package site

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/brand"
	"github.com/postern-id/postern/hub/locale"
	"github.com/postern-id/postern/hub/store"
)

// A look is how an environment appears to everybody.
type look struct {
	Name        string // public name
	Languages   []string
	RequireLink bool
	Palette     brand.Palette
	logos       []store.Logo
	speech      *locale.Choice // among Languages
	first       *firstPages
}

// A memory keeps something of each environment for a few seconds, so that a page costs
// no transaction for it, and for longer, to be able to say "we cannot go on" under the
// right name when the store is away.
type memory[T any] struct {
	read  func(ctx context.Context, env string) (T, error)
	takes time.Duration // that reading may take
	mu    sync.Mutex
	byEnv map[string]remembered[T]
}

type remembered[T any] struct {
	value T
	at    time.Time
}

// fresh is how long a change of an environment may take to show.
const fresh = 3 * time.Second

// maxRemembered bounds a memory; an installation with more environments reads the rest
// each time.
const maxRemembered = 1000

func newMemory[T any](takes time.Duration, read func(ctx context.Context, env string) (T, error)) *memory[T] {
	return &memory[T]{read: read, takes: takes, byEnv: map[string]remembered[T]{}}
}

// of returns what is known of an environment. With an error it returns the last that was
// known, if any.
func (m *memory[T]) of(ctx context.Context, env string) (T, error) {
	m.mu.Lock()
	known, ok := m.byEnv[env]
	m.mu.Unlock()
	if ok && time.Since(known.at) < fresh {
		return known.value, nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.takes)
	defer cancel()
	now, err := m.read(ctx, env)
	if err != nil {
		return known.value, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if ok || len(m.byEnv) < maxRemembered {
		m.byEnv[env] = remembered[T]{now, time.Now()}
	}
	return now, nil
}

// forget makes the next question be asked anew.
func (m *memory[T]) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.byEnv)
}

// readLook reads how an environment appears.
func (s *Site) readLook(ctx context.Context, env string) (*look, error) {
	var e store.Environment
	var logos []store.Logo
	err := s.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if e, err = tx.Environment(ctx, env); err == nil {
			logos, err = tx.Logos(ctx, env)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("site: environment: %w", err)
	}
	return newLook(e, logos), nil
}

func newLook(e store.Environment, logos []store.Logo) *look {
	l := &look{
		Name: e.PublicName, Languages: e.Microsite.Languages, RequireLink: e.Microsite.RequirePresigned,
		speech: locale.NewChoice(e.Microsite.Languages), first: newFirstPages(), logos: logos,
	}
	if l.Name == "" {
		l.Name = e.Name
	}
	palette, err := brand.Derive(e.Microsite.Accent)
	if err != nil { // the API refuses such a colour; whoever wrote it otherwise gets ours
		palette, _ = brand.Derive(brand.Default)
	}
	l.Palette = palette
	return l
}

// nameless is the look of an environment of which nothing is known, not even its name.
func (s *Site) nameless(host string) *look {
	l := *s.plain
	l.Name, l.first = host, newFirstPages()
	return &l
}

// Kinds of logos: of every page, and of pages that show a QR code or that a link in a
// message opens.
const (
	logoOfPages = "mobile"
	logoOfCodes = "qr"
	logoOfLinks = "install"
)

// logo returns the address of the logo of a kind, or else that of every page; "" if there
// is none.
func (l *look) logo(kind string) (address string) {
	for _, one := range l.logos {
		if one.Kind == kind {
			return "/logo?v=" + one.Sum
		}
		if one.Kind == logoOfPages {
			address = "/logo?v=" + one.Sum
		}
	}
	return address
}
