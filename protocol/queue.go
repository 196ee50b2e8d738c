package protocol

import "sync"

// maxKept is the largest buffer that is used again: what a few hundred callers say at once.
// A page of accounts is rare, and its buffer would stay.
const maxKept = 256 << 10

// buffers are shared by all links, since only a few write at any moment.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// A queue is whole frames that wait to be sent. While nothing waits it holds no buffer, so
// that idle tunnels cost nothing.
type queue struct {
	buf  *[]byte // of buffers; nil: nothing waits
	left int     // bytes of it that have left, and may be being sent
}

func (q *queue) len() int {
	if q.buf == nil {
		return 0
	}
	return len(*q.buf) - q.left
}

// add appends a frame.
func (q *queue) add(f frame) {
	need := headerSize + len(f.body)
	if b := q.buf; b == nil || q.left > 0 && len(*b)+need > cap(*b) { // what has left is not copied
		q.buf = buffers.Get().(*[]byte)
		if b != nil {
			*q.buf = append(*q.buf, (*b)[q.left:]...)
		}
		q.left = 0
	}
	*q.buf = appendFrame(*q.buf, f)
}

// A parcel is whole frames on their way. Where they were all that waited, their buffer is
// the parcel's; otherwise buf is nil and the queue goes on behind them. Nothing is copied.
type parcel struct {
	frames []byte
	buf    *[]byte
}

// take takes as many whole frames as have room.
func (q *queue) take(room int) (p parcel) {
	if q.buf == nil {
		return p
	}
	waiting, n := (*q.buf)[q.left:], 0
	for n < len(waiting) && n+frameSize(waiting[n:]) <= room {
		n += frameSize(waiting[n:])
	}
	p.frames = waiting[:n:n]
	if n < len(waiting) {
		q.left += n
		return p
	}
	p.buf = q.buf
	*q = queue{}
	return p
}

// add appends frames to a parcel that has its buffer.
func (p *parcel) add(frames []byte) {
	at := len(*p.buf) - len(p.frames)
	*p.buf = append(*p.buf, frames...)
	p.frames = (*p.buf)[at:]
}

// spend gives the buffer back.
func (p parcel) spend() {
	if p.buf != nil && cap(*p.buf) <= maxKept {
		*p.buf = (*p.buf)[:0]
		buffers.Put(p.buf)
	}
}
