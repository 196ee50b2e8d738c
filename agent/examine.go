package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// examinations count how often hubs asked within the last hour.
type examinations struct {
	mu   sync.Mutex
	when []time.Time
}

// allow notes one more, or refuses it.
func (x *examinations) allow(now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.when) > 0 && now.Sub(x.when[0]) >= time.Hour {
		x.when = x.when[1:]
	}
	if len(x.when) >= protocol.MaxExaminedPerHour {
		return false
	}
	x.when = append(x.when, now)
	return true
}

// examine is the part of doctor that a hub may start: it reads, asks nothing of any
// account, and answers with words out of a fixed list (T33). What else there is to say,
// and every line to paste, stays on this machine.
func (s *service) examine(ctx context.Context, _ protocol.Empty, _ *event) (any, error) {
	if !s.examined.allow(s.now()) {
		return nil, protocol.Err(protocol.CodeRateLimited, "the agent was examined often enough within this hour")
	}
	return protocol.Examination{Directory: s.examineDirectory(ctx), Bases: s.examineBases(ctx), Disk: examineDisk(s.state)}, nil
}

func (s *service) examineDirectory(ctx context.Context) protocol.ExaminedDirectory {
	_, err := s.dir.Describe(ctx)
	if err == nil {
		return protocol.DirectoryServes
	}
	var why directory.Refusal
	switch code := protocol.CodeOf(err); {
	case certificateRefused(err):
		return protocol.DirectoryUntrusted
	case errors.As(err, &why), code == protocol.CodeServiceAuthentication:
		return protocol.DirectoryRefuses
	case code == protocol.CodeUnavailable:
		return protocol.DirectoryAway
	}
	return protocol.DirectoryBroken
}

func (s *service) examineBases(ctx context.Context) protocol.ExaminedBases {
	surveyor, can := s.dir.(directory.Surveyor)
	if !can {
		return protocol.BasesUnknown
	}
	all, err := surveyor.Bases(ctx)
	if err != nil {
		return protocol.BasesUnknown
	}
	for _, b := range all {
		if !b.Found {
			return protocol.BasesMissing
		}
	}
	return protocol.BasesFound
}

func examineDisk(state string) protocol.ExaminedDisk {
	free, err := freeBytes(state)
	switch {
	case err != nil:
		return protocol.DiskUnknown
	case free < diskFull:
		return protocol.DiskFull
	case free < diskLow:
		return protocol.DiskLow
	}
	return protocol.DiskEnough
}
