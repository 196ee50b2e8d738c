package policy

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// A Duration is the wire's duration: Go duration text; an integer of nanoseconds, the
// older form, is read too.
type Duration time.Duration

// maxDuration is how long a duration's text may be: the longest that Go prints has 24 bytes.
const maxDuration = 64

// MarshalText writes Go duration text.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalJSON reads text or an integer of nanoseconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	if len(b) > maxDuration {
		return fmt.Errorf("policy: a duration has at most %d characters", maxDuration)
	}
	if ns, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		*d = Duration(ns)
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf(`policy: a duration is text such as "1h30m", or an integer of nanoseconds`)
	}
	v, err := ParseDuration(text)
	*d = v
	return err
}

// ParseDuration reads Go duration text, or an integer of nanoseconds as text (the form
// of a query parameter).
func ParseDuration(text string) (Duration, error) {
	if len(text) > maxDuration {
		return 0, fmt.Errorf("policy: a duration has at most %d characters", maxDuration)
	}
	if ns, err := strconv.ParseInt(text, 10, 64); err == nil {
		return Duration(ns), nil
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf(`policy: %q is not a duration such as "1h30m"`, text)
	}
	return Duration(v), nil
}

// A RateLimit is the wire type RecoveryOperationRateLimit: at most Count operations
// performed on a directory within Window.
type RateLimit struct {
	Count  int      `json:"count"`
	Window Duration `json:"window"`
}

// maxWindow bounds a rate limit's window: counters are kept that long.
const maxWindow = 31 * 24 * time.Hour

// Check reports what is wrong with the limit. A count of zero forbids every operation.
func (l RateLimit) Check() error {
	if l.Count < 0 {
		return fmt.Errorf("policy: the count of a rate limit is not negative")
	}
	if w := time.Duration(l.Window); w < time.Second || w > maxWindow {
		return fmt.Errorf("policy: the window of a rate limit is 1s to %s", maxWindow)
	}
	return nil
}
