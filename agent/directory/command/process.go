package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-id/postern/protocol"
)

// Bounds of one answer, and of an end.
const (
	maxPage     = 64 << 20        // a small worker lists a hundred thousand accounts in one document
	maxReply    = 4 << 20         // everything else
	bigDocument = 1 << 20         // after which the decoder's buffer is given back
	grace       = 2 * time.Second // from the end of stdin, which means stop, to the kill
	lastWords   = time.Second     // for what a worker wrote before it ended
)

// How a process ends. Sentences are for administrators.
var (
	errGarbage = errors.New("the worker wrote something else than the reply of the protocol; only JSON replies may go to its standard output")
	errTooLong = errors.New("the worker's reply is longer than any may be")
	errUnasked = errors.New("the worker wrote a reply to no request")
	errHung    = errors.New("the worker did not answer in time")
	errExited  = errors.New("the worker ended")
	errClosed  = errors.New("the agent has closed the directory")
)

// A lost error says that a request got no answer. unsent is true when the worker cannot
// have read it.
type lost struct {
	why    error
	unsent bool
}

// Error implements error.
func (l *lost) Error() string { return l.why.Error() }

// Unwrap is what it is a failure of, for errors.Is and errors.As.
func (l *lost) Unwrap() error { return l.why }

// A process is one running worker and everything that it started. One goroutine at a
// time may exchange; end may be called from any.
type process struct {
	cmd     *exec.Cmd
	group   group // of the platform: how the worker ends with all that it started
	stdin   io.WriteCloser
	stderr  *os.File // the worker's own end, where the agent marks how far it has read
	chatter *chatter
	about   configured
	born    time.Time

	limit   atomic.Int64 // bytes that may still be read
	replies chan json.RawMessage
	read    chan struct{} // closed when nothing more will be read
	exited  chan struct{} // closed when the process is gone, and its group

	mu      sync.Mutex
	waiting bool  // a request has no reply yet
	why     error // why it ended; nil while it lives
	reaped  bool  // its number may be another's by now
}

// spawn starts the worker. It is asked nothing yet.
func spawn(cfg Config) (*process, error) {
	p := &process{
		cmd: cfg.cmd(), chatter: &chatter{log: cfg.Log}, born: time.Now(),
		replies: make(chan json.RawMessage, 1), read: make(chan struct{}), exited: make(chan struct{}),
	}
	pipes, err := p.connect()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go p.live(started)
	err = <-started
	_ = p.cmd.Stdin.(*os.File).Close() // the worker has its own ends now
	_ = p.cmd.Stdout.(*os.File).Close()
	if err != nil {
		for _, f := range append(pipes, p.stderr) {
			_ = f.Close()
		}
		return nil, err
	}
	go p.listen(pipes[1])
	go func() {
		defer func() { _ = pipes[2].Close() }()
		p.chatter.read(pipes[2])
	}()
	go p.silence(pipes[1], pipes[2])
	return p, nil
}

// connect makes the three pipes and returns the agent's ends.
func (p *process) connect() ([]*os.File, error) {
	var ours, theirs []*os.File
	for i := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			for _, f := range append(ours, theirs...) {
				_ = f.Close()
			}
			return nil, err
		}
		if i == 0 {
			r, w = w, r
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	p.stdin = ours[0]
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirs[0], theirs[1], theirs[2]
	p.stderr, p.chatter.pipe = theirs[2], theirs[2]
	return ours, nil
}

// live starts the process and stays until it is gone, on one thread: the kernel ends a
// worker when the thread that made it ends, so that a killed agent leaves none behind.
func (p *process) live(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.group.start(p.cmd)
	started <- err
	if err != nil {
		return
	}
	p.group.await(p.cmd) // ended, and its number still its own
	p.mu.Lock()
	p.group.kill(p.cmd)
	p.reaped = true
	p.mu.Unlock()
	_ = p.cmd.Wait()
	p.group.close()
	close(p.exited)
}

// silence ends reading soon after the process: what it started may hold the pipes open.
func (p *process) silence(pipes ...*os.File) {
	<-p.exited
	_ = p.stderr.Close()
	for _, f := range pipes {
		_ = f.SetReadDeadline(time.Now().Add(lastWords)) // Windows has none: there the job closes every end
	}
	<-p.read
	p.end(errExited)
}

// A meter reads while the limit lasts.
type meter struct {
	r    io.Reader
	left *atomic.Int64
}

// Read implements io.Reader.
func (m meter) Read(b []byte) (int, error) {
	if m.left.Load() <= 0 {
		return 0, errTooLong
	}
	n, err := m.r.Read(b)
	m.left.Add(-int64(n))
	return n, err
}

// listen takes documents off stdout: each is the reply to the one open request, or the
// end of the worker.
func (p *process) listen(stdout *os.File) {
	defer func() { _ = stdout.Close() }()
	defer close(p.read)
	p.limit.Store(maxReply)
	in := meter{stdout, &p.limit}
	documents := json.NewDecoder(in)
	for {
		var raw json.RawMessage
		if err := documents.Decode(&raw); err != nil {
			p.end(reasonOf(err))
			return
		}
		if !p.deliver(raw) {
			p.end(errUnasked)
			return
		}
		if len(raw) > bigDocument {
			documents = json.NewDecoder(io.MultiReader(documents.Buffered(), in))
		}
	}
}

// reasonOf says why nothing more can be read. What broke off in the middle is an end too.
func reasonOf(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, errTooLong):
		return errTooLong
	case errors.As(err, &syntax):
		return errGarbage
	}
	return errExited
}

// deliver gives a reply to who waits for it, and reports whether somebody does.
func (p *process) deliver(raw json.RawMessage) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.waiting {
		return false
	}
	p.waiting = false
	p.replies <- raw
	return true
}

// end kills the worker with everything that it started. Only the first reason counts.
func (p *process) end(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why != nil {
		return
	}
	p.why = why
	if !p.reaped {
		p.group.kill(p.cmd)
	}
	_ = p.stdin.Close()
}

// stop ends the worker politely, and returns when it is gone.
func (p *process) stop() {
	p.mu.Lock()
	if p.why == nil {
		p.why = errClosed
	}
	_ = p.stdin.Close()
	p.mu.Unlock()
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case <-p.exited:
		return
	case <-patience.C:
	}
	p.mu.Lock()
	if !p.reaped {
		p.group.kill(p.cmd)
	}
	p.mu.Unlock()
	<-p.exited
}

// ended returns why the worker ended, nil while it lives.
func (p *process) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why
}

// ask sends a request and waits for its reply, of at most limit bytes. When ctx ends
// first the worker is killed: a late reply would be taken for the next one. Errors are
// *lost.
func (p *process) ask(ctx context.Context, q request, limit int64) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, &lost{err, true}
	}
	p.mu.Lock()
	if p.why != nil {
		defer p.mu.Unlock()
		return reply{}, &lost{p.why, true}
	}
	p.waiting = true
	p.limit.Store(limit)
	p.mu.Unlock()
	defer context.AfterFunc(ctx, func() { p.end(errHung) })()
	line := q.line()
	if n, err := p.stdin.Write(line); err != nil {
		p.end(errExited)
		return reply{}, &lost{p.ended(), n < len(line)-1} // the line's end may be missing, its document not
	}
	select {
	case raw := <-p.replies:
		return p.understood(q, raw)
	case <-p.read:
	}
	select {
	case raw := <-p.replies: // it answered and ended
		return p.understood(q, raw)
	default:
	}
	return reply{}, &lost{why: p.ended()}
}

// understood reads a reply. A worker that does not speak the protocol, or answers another
// request than it was asked, ends.
func (p *process) understood(q request, raw json.RawMessage) (reply, error) {
	r, err := parse(raw)
	if err == nil && !r.fits(q) {
		err = errUnasked
	}
	if err != nil {
		p.end(err)
		return reply{}, &lost{why: err}
	}
	return r, nil
}

// configure asks who the worker serves. Without a good answer it may not be asked more.
func (p *process) configure(ctx context.Context) error {
	r, err := p.ask(ctx, request{Configure: &struct{}{}}, maxReply)
	switch {
	case err != nil:
		return err
	case r.Error != nil:
		return r.Error.err()
	case r.Configure == nil:
		return missing("configure")
	}
	p.about = *r.Configure
	return nil
}

// missing is the error of a reply that does not answer its request.
func missing(member string) error {
	return protocol.Err(protocol.CodeConfiguration, fmt.Sprintf("the worker's reply has no %q", member))
}
