package protocol

import (
	"bytes"
	"testing"
)

// say queues a frame whose body is n times its id.
func say(q *queue, id uint64, n int) {
	q.add(frame{kind: kindReply, id: id, body: bytes.Repeat([]byte{byte(id)}, n)})
}

// heard checks that a message is whole frames from next on, and returns the one after them.
func heard(t *testing.T, msg []byte, next uint64) uint64 {
	t.Helper()
	for len(msg) > 0 {
		f, rest, err := nextFrame(msg)
		if err != nil || f.id != next || bytes.Count(f.body, []byte{byte(next)}) != len(f.body) {
			t.Fatalf("frame %d of %d bytes, %v; want frame %d", f.id, len(f.body), err, next)
		}
		msg, next = rest, next+1
	}
	return next
}

func TestWhatIsBeingSentStaysAsItIsWhileOthersAdd(t *testing.T) {
	for _, size := range []int{1, 500, 5000, 30_000} {
		var q queue
		added, sent := uint64(0), uint64(0)
		for range 200 {
			for range 7 {
				say(&q, added, size)
				added++
			}
			p := q.take(MaxMessage)
			before := bytes.Clone(p.frames)
			for range 3 { // while it is being sent
				say(&q, added, size)
				added++
			}
			if !bytes.Equal(before, p.frames) {
				t.Fatal("it changed under the writer")
			}
			sent = heard(t, p.frames, sent)
			p.spend()
		}
		for q.len() > 0 {
			p := q.take(MaxMessage)
			sent = heard(t, p.frames, sent)
			p.spend()
		}
		if sent != added || q.buf != nil {
			t.Errorf("bodies of %d bytes: %d of %d were sent; empty: %v", size, sent, added, q.buf == nil)
		}
	}
}

func TestAQueueThatIsNeverEmptyHoldsWhatWaitsAndLittleMore(t *testing.T) {
	var q queue
	added, sent := uint64(0), uint64(0)
	for range 200 {
		say(&q, added, 30_000)
		added++
	}
	most := 0
	for range 5000 {
		say(&q, added, 30_000)
		say(&q, added+1, 30_000)
		added += 2
		p := q.take(MaxMessage)
		sent = heard(t, p.frames, sent)
		p.spend()
		most = max(most, cap(*q.buf))
	}
	if waits := 200 * 30_014; most > 4*waits {
		t.Errorf("%d bytes for %d that wait", most, waits)
	}
}

func TestBulkTakesTheRoomThatUrgentFramesLeave(t *testing.T) {
	w := newWriter(nil)
	say(&w.bulk, 2, 20_000)
	say(&w.bulk, 3, 60_000)
	say(&w.urgent, 0, 5000)
	say(&w.urgent, 1, 9)
	p := w.takeLocked()
	if next := heard(t, p.frames, 0); next != 3 {
		t.Errorf("the first message ends before frame %d", next)
	}
	p.spend()
	say(&w.urgent, 9, 60_000)
	say(&w.urgent, 10, 60_000)
	p = w.takeLocked() // part of what is urgent
	heard(t, p.frames, 9)
	p.spend()
	p = w.takeLocked() // the rest of it, which leaves no room
	heard(t, p.frames, 10)
	p.spend()
	p = w.takeLocked()
	if next := heard(t, p.frames, 3); next != 4 || w.waitingLocked() != 0 {
		t.Errorf("the last message ends before frame %d; %d bytes wait", next, w.waitingLocked())
	}
}

func TestManyCallsNeedNoNewBuffers(t *testing.T) {
	w := newWriter(func([]byte) error { return nil })
	f := frame{kind: kindReply, body: make([]byte, 512)}
	if n := testing.AllocsPerRun(100, func() {
		for range 256 { // several messages
			w.queue(f, false)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		_, _, _ = w.sendLocked()
	}); n > 8 { // a collection empties the pool, and the race detector loses some on purpose
		t.Errorf("%v allocations for 256 answers", n)
	}
}
