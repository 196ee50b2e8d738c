package protocol

import (
	"strings"
	"time"
)

// spreadPrefix begins the reason of a goodbye that many agents hear at once.
const spreadPrefix = "come back within "

// maxSpread bounds what a hub can make an agent wait.
const maxSpread = 2 * time.Minute

// SpreadReason is the reason of a CloseComeBack or a goaway that many agents hear at
// once: each comes back at a random moment within d.
func SpreadReason(d time.Duration) string { return spreadPrefix + d.String() }

// Spread reads a reason: how long to spread the return over, 0 if it does not say.
func Spread(reason string) time.Duration {
	text, ok := strings.CutPrefix(reason, spreadPrefix)
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0
	}
	return min(d, maxSpread)
}
