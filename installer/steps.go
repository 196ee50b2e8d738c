package installer

import (
	"errors"
	"fmt"
	"io"
)

// A Step is one change of the machine. Does says it in words, for people who want to know
// before; Undo, where there is one, takes it back when a later step fails.
type Step struct {
	Does string
	Do   func() error
	Undo func() error
}

// Perform carries out steps in order and names each on w. When one fails those before it
// are taken back, the last one first, and the error is that step's. With dry set it only
// says what would happen.
func Perform(w io.Writer, steps []Step, dry bool) error {
	for i, s := range steps {
		if dry {
			fmt.Fprintf(w, "would %s\n", s.Does)
			continue
		}
		fmt.Fprintf(w, "%s\n", s.Does)
		if err := s.Do(); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", s.Does, err), takeBack(w, steps[:i+1]))
		}
	}
	if dry {
		fmt.Fprintln(w, "Nothing was changed.")
	}
	return nil
}

// takeBack undoes steps, among them the one that failed half-way.
func takeBack(w io.Writer, steps []Step) error {
	var errs []error
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].Undo == nil {
			continue
		}
		fmt.Fprintf(w, "taking back: %s\n", steps[i].Does)
		if err := steps[i].Undo(); err != nil {
			errs = append(errs, fmt.Errorf("taking back %q: %w", steps[i].Does, err))
		}
	}
	return errors.Join(errs...)
}
