package site

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/brand"
	"github.com/postern-id/postern/hub/store"
)

// A look is how an environment appears to everybody.
type look struct {
	Name        string // public name
	Languages   []string
	RequireLink bool
	Palette     brand.Palette
	Logo        string // hash of the logo, "" if there is none
	image       []byte
	imageType   string
}

// looks remembers environments for a few seconds, so that a page costs no transaction
// for them, and for longer to be able to say "we cannot go on" under the right name when
// the store is away.
type looks struct {
	store Reader
	mu    sync.Mutex
	byEnv map[string]remembered
}

type remembered struct {
	look look
	at   time.Time
}

// fresh is how long a change of an environment may take to show.
const fresh = 3 * time.Second

// maxLooks bounds the memory; an installation with more reads the rest each time.
const maxLooks = 1000

func newLooks(s Reader) *looks { return &looks{store: s, byEnv: map[string]remembered{}} }

// of returns the look of an environment. With an error it returns the last one known,
// if any.
func (l *looks) of(ctx context.Context, env string) (look, error) {
	l.mu.Lock()
	known, ok := l.byEnv[env]
	l.mu.Unlock()
	if ok && time.Since(known.at) < fresh {
		return known.look, nil
	}
	now, err := l.read(ctx, env)
	if err != nil {
		return known.look, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok || len(l.byEnv) < maxLooks {
		l.byEnv[env] = remembered{now, time.Now()}
	}
	return now, nil
}

func (l *looks) read(ctx context.Context, env string) (look, error) {
	var e store.Environment
	var image []byte
	var imageType string
	err := l.store.Read(ctx, func(tx *store.Tx) (err error) {
		if e, err = tx.Environment(ctx, env); err != nil || e.Microsite.LogoType == "" {
			return err
		}
		image, imageType, err = tx.Logo(ctx, env)
		if errors.Is(err, store.ErrNotFound) { // removed at this moment
			err = nil
		}
		return err
	})
	if err != nil {
		return look{}, fmt.Errorf("site: environment: %w", err)
	}
	return newLook(e, image, imageType), nil
}

func newLook(e store.Environment, image []byte, imageType string) look {
	l := look{Name: e.PublicName, Languages: e.Microsite.Languages, RequireLink: e.Microsite.RequirePresigned}
	if l.Name == "" {
		l.Name = e.Name
	}
	palette, err := brand.Derive(e.Microsite.Accent)
	if err != nil { // the API refuses such a colour; whoever wrote it otherwise gets ours
		palette, _ = brand.Derive(brand.Default)
	}
	l.Palette = palette
	if len(image) > 0 && slices.Contains(logoTypes, imageType) {
		sum := sha256.Sum256(image)
		l.Logo, l.image, l.imageType = hex.EncodeToString(sum[:8]), image, imageType
	}
	return l
}

// nameless is the look of an environment of which nothing is known, not even its name.
func nameless(host string) look { return newLook(store.Environment{Name: host}, nil, "") }

// logoTypes are the images that browsers show in every environment.
var logoTypes = []string{"image/png", "image/jpeg", "image/webp", "image/svg+xml"}
