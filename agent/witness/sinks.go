package witness

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/postern-id/postern/protocol/auditlog"
)

// An entry is what a sink takes, as one line of JSON. Checkpoint is the note that the hub
// signed; of a checkpoint that was witnessed it bears this agent's cosignature too.
type entry struct {
	Time       time.Time `json:"time"`
	Agent      string    `json:"agent"`
	Event      string    `json:"event"` // witnessed, refused or accepted
	Size       int64     `json:"size"`
	Checkpoint string    `json:"checkpoint"`
}

func entryOf(cfg Config, event string, c auditlog.Checkpoint, note string) entry {
	now := cfg.Now().UTC()
	if event == witnessed {
		note += c.Cosign(cfg.Key, cfg.Name, now)
	}
	return entry{now, cfg.Name, event, c.Size, note}
}

// An output is one kind of sink. Its methods are called by one goroutine.
type output interface {
	// write takes one line, without the newline at its end.
	write(line []byte) error
	close() error
}

// openOutput returns the output of a word or path of the file. It touches nothing: what
// does not work now may work later.
func openOutput(cfg Config, name string) (output, error) {
	switch {
	case name == sinkFile:
		return &fileOutput{path: filepath.Join(cfg.Dir, checkpointsFile), sync: cfg.Sinks.RequireSink}, nil
	case name == sinkSyslog:
		return newSyslog()
	case name == sinkEventLog:
		return newEventLog()
	}
	return &fileOutput{path: name, sync: cfg.Sinks.RequireSink}, nil
}

// Times and bounds of sinks.
const (
	sinkLife    = 2 * time.Second  // somebody waits so long for a sink that is needed
	sinkAgain   = 30 * time.Second // a sink that failed is tried again
	sinkWaiting = 64               // entries that wait for a sink; the oldest are dropped, the newest says the most
)

// sinks are all sinks of an agent.
type sinks struct {
	all  []*sink
	once sync.Once
	stop chan struct{}
	wg   sync.WaitGroup
}

// openSinks starts a goroutine for each sink, which close ends.
func openSinks(cfg Config) (*sinks, error) {
	names := cfg.Sinks.Sinks
	if names == nil {
		names = []string{sinkFile}
	}
	s := &sinks{stop: make(chan struct{})}
	for _, name := range names {
		out, err := openOutput(cfg, name)
		if err != nil {
			return nil, fmt.Errorf("log.sinks: %q: %w", name, err)
		}
		s.all = append(s.all, &sink{name: name, out: out, log: cfg.Log, wake: make(chan struct{}, 1)})
	}
	for _, k := range s.all {
		s.wg.Go(func() { k.run(s.stop) })
	}
	return s, nil
}

// close lets every sink take what waits, once. One that does not answer is left behind.
func (s *sinks) close() {
	s.once.Do(func() { close(s.stop) })
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()
	t := time.NewTimer(sinkLife)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
}

// put gives an entry to every sink and does not wait.
func (s *sinks) put(e entry) { s.give(e, nil) }

// putSurely gives an entry to every sink, and reports whether one has taken it.
func (s *sinks) putSurely(e entry) bool {
	results := make(chan bool, len(s.all))
	s.give(e, results)
	t := time.NewTimer(sinkLife)
	defer t.Stop()
	for range s.all {
		select {
		case took := <-results:
			if took {
				return true
			}
		case <-t.C:
			return false
		}
	}
	return false
}

func (s *sinks) give(e entry, results chan<- bool) {
	line, err := json.Marshal(e)
	if err != nil {
		return // plain strings always marshal
	}
	for _, k := range s.all {
		k.give(item{line, e.Size, results})
	}
}

// has reports whether a sink took a checkpoint of this size or a later one.
func (s *sinks) has(size int64) bool {
	for _, k := range s.all {
		k.mu.Lock()
		took := k.took
		k.mu.Unlock()
		if took >= size {
			return true
		}
	}
	return false
}

func (s *sinks) failing() map[string]string {
	var all map[string]string
	for _, k := range s.all {
		k.mu.Lock()
		if k.failure != "" {
			if all == nil {
				all = map[string]string{}
			}
			all[k.name] = k.failure
		}
		k.mu.Unlock()
	}
	return all
}

// An item is an entry that waits for one sink. results hears once what the first try gave.
type item struct {
	line    []byte
	size    int64
	results chan<- bool
}

// A sink is one output with what waits for it.
type sink struct {
	name string
	out  output // of run
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex
	waiting []item // oldest first
	took    int64  // size of what it took last
	failure string
}

func (k *sink) give(i item) {
	k.mu.Lock()
	k.waiting = append(k.waiting, i)
	if n := len(k.waiting) - sinkWaiting; n > 0 {
		k.waiting = append([]item(nil), k.waiting[n:]...)
	}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run writes what waits until stop is closed, and then once more.
func (k *sink) run(stop <-chan struct{}) {
	again := time.NewTicker(sinkAgain)
	defer again.Stop()
	for {
		select {
		case <-k.wake:
		case <-again.C:
		case <-stop:
			k.drain()
			_ = k.out.close() // what counts is written
			return
		}
		k.drain()
	}
}

// drain writes what waits, in order, up to the first failure.
func (k *sink) drain() {
	for {
		k.mu.Lock()
		if len(k.waiting) == 0 {
			k.mu.Unlock()
			return
		}
		i := k.waiting[0]
		k.waiting = k.waiting[1:]
		k.mu.Unlock()
		err := k.out.write(i.line)
		k.note(i, err)
		if i.results != nil {
			i.results <- err == nil
		}
		if err != nil {
			k.failRest()
			return
		}
	}
}

// note keeps how a write ended, and puts an entry back that the sink did not take.
func (k *sink) note(i item, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		if k.failure != "" {
			k.log.Info("a sink for checkpoints works again", "sink", k.name)
		}
		k.took, k.failure = i.size, ""
		return
	}
	if k.failure == "" {
		k.log.Error("a sink for checkpoints fails; it is tried again", "sink", k.name, "error", err)
	}
	k.failure = err.Error()
	i.results = nil
	if len(k.waiting) < sinkWaiting {
		k.waiting = append([]item{i}, k.waiting...)
	}
}

// failRest tells those that wait behind a failure that they are not written now.
func (k *sink) failRest() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.waiting {
		if r := k.waiting[i].results; r != nil {
			r <- false
			k.waiting[i].results = nil
		}
	}
}
