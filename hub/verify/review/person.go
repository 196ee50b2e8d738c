package review

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
)

// Kinds are the pictures of a case, in the order in which they are asked for.
var Kinds = []string{"front", "back", "selfie"}

// A Progress is what the person's own page shows of a case.
type Progress struct {
	State   string // of the store
	Prompt  string
	Consent bool
	Has     []string // kinds of pictures
	Appeal  bool     // said no, and may be looked at by somebody else
}

// Progress returns what the person may know. The caller has checked that the case is
// that of their session.
func (r *Reviews) Progress(ctx context.Context, env, id string) (p Progress, err error) {
	err = r.Store.Read(ctx, func(tx *store.Tx) error {
		c, err := tx.Review(ctx, env, id)
		if err != nil {
			return err
		}
		d, err := detailsOf(c)
		if err != nil {
			return err
		}
		p = Progress{State: c.State, Prompt: d.Prompt, Consent: !c.ConsentAt.IsZero(), Appeal: c.State == store.ReviewRejected && c.Round == 1}
		p.Has, err = tx.ReviewImages(ctx, env, id)
		return err
	})
	return p, err
}

// Consent records that the person agrees to pictures of their face being looked at
// (GDPR, article 9). Without it nothing is taken.
func (r *Reviews) Consent(ctx context.Context, env, id string) error {
	return r.change(ctx, env, id, func(tx *store.Tx, c *store.Review) error {
		if c.State != store.ReviewOpen {
			return ErrState
		}
		if !c.ConsentAt.IsZero() {
			return nil
		}
		c.ConsentAt = tx.Now()
		return r.record(ctx, tx, c, audit.BiometricConsent, audit.Principal{}, nil)
	})
}

// Put takes one picture and keeps a clean copy of it under the key of the case.
// capture.ErrImage says that it is none that is taken.
func (r *Reviews) Put(ctx context.Context, env, id, kind string, raw []byte) error {
	if !slices.Contains(Kinds, kind) || len(raw) > capture.MaxImage {
		return capture.ErrImage
	}
	p, err := r.Progress(ctx, env, id)
	switch {
	case err != nil:
		return err
	case p.State != store.ReviewOpen || !p.Consent:
		return ErrState
	}
	select {
	case r.decoding <- struct{}{}:
		defer func() { <-r.decoding }()
	case <-ctx.Done():
		return ctx.Err()
	}
	clean, err := capture.Clean(raw)
	if err != nil {
		return err
	}
	return r.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.PutReviewImage(ctx, env, id, kind, clean); err != nil {
			return err
		}
		c, err := tx.Review(ctx, env, id)
		if err != nil {
			return err
		}
		return r.watch(ctx, tx, c, pictured[kind])
	})
}

// Read takes what the page or the person read from the document: the text of the bar
// code, the lines of the machine-readable zone. Either may be empty or of no use: then
// people have less to go by. It is a hint, whoever sent it.
func (r *Reviews) Read(ctx context.Context, env, id, zone, barcode string) error {
	return r.change(ctx, env, id, func(tx *store.Tx, c *store.Review) error {
		if c.State != store.ReviewOpen || c.ConsentAt.IsZero() {
			return ErrState
		}
		d, err := detailsOf(*c)
		if err != nil {
			return err
		}
		if p, err := capture.ParseMRZ(zone, tx.Now()); err == nil {
			d.Zone = &p
		}
		if p, err := capture.ParseAAMVA(barcode); err == nil {
			d.Barcode = &p
		}
		d.Hints = capture.Compare(d.Zone, d.Barcode, d.Name, tx.Now())
		if ofRequest(*c) {
			d.Hints = slices.DeleteFunc(d.Hints, func(h capture.Hint) bool { return h.Check == capture.MRZAccount || h.Check == capture.BarcodeAccount })
		}
		c.Details = []byte(store.JSON(d))
		return nil
	})
}

// Appeal asks that somebody else looks, once.
func (r *Reviews) Appeal(ctx context.Context, env, id string) error {
	return r.change(ctx, env, id, func(tx *store.Tx, c *store.Review) error {
		if c.State != store.ReviewRejected || c.Round != 1 {
			return ErrState
		}
		c.State, c.Round, c.Outcome, c.DecidedAt = store.ReviewWaiting, 2, "", time.Time{}
		c.DueAt = tx.Now().Add(reviewTime)
		return r.record(ctx, tx, c, audit.ScanAppealed, audit.Principal{}, nil)
	})
}

// GiveUp ends a case that was declined, without an appeal.
func (r *Reviews) GiveUp(ctx context.Context, env, id string) error {
	err := r.change(ctx, env, id, func(tx *store.Tx, c *store.Review) error {
		if c.State != store.ReviewRejected {
			return ErrState
		}
		c.State = store.ReviewClosed
		return nil
	})
	if err == nil {
		r.settle(ctx, env, id)
	}
	return err
}

// Given is what a form of the person brings.
type Given struct {
	Consent       bool
	Zone, Barcode string            // as they were read; unsigned
	Images        map[string][]byte // by kind; those that are missing were not chosen
}

// ErrConsent says that the person has not agreed.
var ErrConsent = errors.New("review: no consent")

// An ImageError says which picture is none that is taken.
type ImageError struct{ Kind string }

// Error implements error.
func (e *ImageError) Error() string { return "review: not a picture that is taken: " + e.Kind }

// Keep takes what a form brings. Nothing is kept without consent.
func (r *Reviews) Keep(ctx context.Context, env, id string, in Given) error {
	if in.Consent {
		if err := r.Consent(ctx, env, id); err != nil {
			return err
		}
	}
	p, err := r.Progress(ctx, env, id)
	switch {
	case err != nil:
		return err
	case p.State == store.ReviewOpen && !p.Consent:
		return ErrConsent
	}
	for _, kind := range Kinds {
		if in.Images[kind] == nil {
			continue
		}
		if err := r.Put(ctx, env, id, kind, in.Images[kind]); errors.Is(err, capture.ErrImage) {
			return &ImageError{kind}
		} else if err != nil {
			return err
		}
	}
	if in.Zone == "" && in.Barcode == "" {
		return nil
	}
	return r.Read(ctx, env, id, in.Zone, in.Barcode)
}

// Contest appeals, or gives up.
func (r *Reviews) Contest(ctx context.Context, env, id string, appeal bool) error {
	if appeal {
		return r.Appeal(ctx, env, id)
	}
	return r.GiveUp(ctx, env, id)
}
