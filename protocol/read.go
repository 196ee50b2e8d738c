package protocol

import "context"

// A reader takes messages off the wire, on one goroutine at a time.
type reader struct {
	link  *Link
	ctx   context.Context
	calls *served // made with the first: the hub's end of an idle tunnel serves none, and there are many of those
}

// Run reads until the link ends and returns why: a *CloseError when the peer closed.
// All open calls fail then. It owns the goroutines that serve calls and returns after
// they have ended.
func (l *Link) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = l.wire.Close(CloseComeBack, "stopping") })()
	r := &reader{link: l, ctx: ctx}
	for {
		if _, err := r.next(); err != nil {
			return r.end(err)
		}
	}
}

// Start is Run on a goroutine of its own, which calls ended when Run would return. A
// fresh one takes its place whenever nothing but signs of life came: a stack that grew
// with a message does not stay with a link that is idle, and there are many of those. For
// their sake the link does not watch ctx, which is that of the calls: Close ends it.
func (l *Link) Start(ctx context.Context, ended func(error)) {
	go (&reader{link: l, ctx: ctx}).loop(ended)
}

func (r *reader) loop(ended func(error)) {
	w, waits := r.link.wire.(Waiter)
	for {
		if waits {
			w.Wait()
		}
		idle, err := r.next()
		if err != nil {
			ended(r.end(err))
			return
		}
		if idle {
			go r.loop(ended)
			return
		}
	}
}

// next handles one message. It reports whether that was a sign of life and no more.
func (r *reader) next() (idle bool, err error) {
	msg, err := r.link.readMessage()
	if err != nil {
		return false, err
	}
	idle = onlySigns(msg)
	return idle, r.receive(msg)
}

// end ends the link and waits for its calls.
func (r *reader) end(err error) error {
	r.link.end(err)
	if r.calls != nil {
		r.calls.end()
	}
	r.link.out.successors.Wait()
	return err
}

// receive takes a message apart.
func (r *reader) receive(msg []byte) error {
	for len(msg) > 0 {
		f, rest, err := nextFrame(msg)
		if err != nil {
			return err
		}
		msg = rest
		body, done, err := r.link.asm.add(f)
		if err != nil {
			return err
		}
		if done {
			if err := r.dispatch(f, body); err != nil {
				return err
			}
		}
	}
	if r.calls != nil {
		r.calls.begin()
	}
	return nil
}

// served returns the calls of the peer.
func (r *reader) served() *served {
	if r.calls == nil {
		r.calls = newServed(r.ctx, r.link)
	}
	return r.calls
}
