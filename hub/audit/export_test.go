package audit

import "time"

// Gather sets how long Run lets transactions gather.
func (l *Log) Gather(d time.Duration) { l.linger = d }
