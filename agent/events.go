package agent

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/folder"
	"github.com/postern-id/postern/protocol"
)

// The local event log: files in the state folder, oldest dropped.
const (
	eventsFile = "events.jsonl"
	maxEvents  = 10 << 20 // bytes of one file: about 40,000 requests
	keepEvents = 5        // older files that are kept
)

// An event is one line of the local event log. It names accounts by immutable id
// alone: never a mail address, a name or a secret.
type event struct {
	Time      time.Time      `json:"time"`
	Method    string         `json:"method"`
	Account   string         `json:"account,omitempty"`
	Recovery  string         `json:"recovery,omitempty"`
	Operation string         `json:"operation,omitempty"`
	Request   string         `json:"request,omitempty"` // id of the operation frame
	Context   string         `json:"context,omitempty"`
	Origin    string         `json:"origin,omitempty"` // the recovery domain
	State     protocol.State `json:"state,omitempty"`
	Replayed  bool           `json:"replayed,omitempty"`
	Proven    []string       `json:"proven,omitempty"`  // methods whose evidence this agent checked
	Refused   []string       `json:"refused,omitempty"` // why other evidence does not hold
	Trial     bool           `json:"trial,omitempty"`   // nothing was changed, because the agent evaluates
	Count     int            `json:"count,omitempty"`   // of what was listed
	Code      protocol.Code  `json:"code,omitempty"`    // of a refusal or failure
	Message   string         `json:"message,omitempty"`
	Node      string         `json:"node,omitempty"`
	Millis    int64          `json:"ms"`
}

// refuse notes why, from an error of any kind.
func (e *event) refuse(err error) {
	var p *protocol.Error
	switch {
	case errors.As(err, &p):
		e.Code, e.Message = p.Code, p.Message
	case err != nil:
		e.Code, e.Message = protocol.CodeInternal, err.Error()
	}
}

// eventLog writes events. Its methods may be called from many goroutines.
type eventLog struct {
	path string

	mu   sync.Mutex
	f    *os.File
	size int64
	torn bool // the last line has no end: the disk was full, or the process was killed
}

func openEvents(dir string) (*eventLog, error) {
	l := &eventLog{path: filepath.Join(dir, eventsFile)}
	return l, l.open()
}

func (l *eventLog) open() error {
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	last := []byte{'\n'}
	if _, err := f.ReadAt(last, info.Size()-1); err != nil && info.Size() > 0 {
		return errors.Join(err, f.Close())
	}
	l.f, l.size, l.torn = f, info.Size(), last[0] != '\n'
	return nil
}

// write appends one event, on a line of its own whatever became of the one before.
func (l *eventLog) write(e event) error {
	e.Account, e.Message = withoutAddresses(e.Account), withoutAddresses(e.Message)
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(line)) > maxEvents && l.size > 0 {
		if err := l.rotateLocked(); err != nil {
			return err
		}
	}
	if l.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := l.f.Write(line)
	switch {
	case err == nil:
		l.torn = false
	case n > 0 && l.f.Truncate(l.size) == nil: // half a line is no event
		n = 0
	case n > 0:
		l.torn = true
	}
	l.size += int64(n)
	return err
}

// rotateLocked makes events.jsonl events.jsonl.1, and so on. A file that is closed
// twice or missing is no reason to lose the event.
func (l *eventLog) rotateLocked() error {
	_ = l.f.Close()
	if err := folder.Rotate(l.path, keepEvents); err != nil {
		return errors.Join(err, l.open())
	}
	return l.open()
}

func (l *eventLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}
