package journal

import "fmt"

// A batch is the records that wait for the next sync together.
type batch struct {
	list    []byte
	written bool // under the writer lock
	err     error
}

// write checks, changes memory, and returns after the record is on the disk. Callers
// that come while the disk is busy share one sync.
func (j *Journal) write(r record, check func() error) error {
	j.mu.Lock()
	b, err := j.queueLocked(r, check)
	j.mu.Unlock()
	if err != nil {
		return err
	}
	j.writer.Lock()
	defer j.writer.Unlock()
	if !b.written {
		j.flush(j.takeBatch())
	}
	return b.err
}

func (j *Journal) queueLocked(r record, check func() error) (*batch, error) {
	if err := check(); err != nil {
		return nil, err
	}
	list, err := appendRecord(j.next.list, r)
	if err != nil {
		return nil, err
	}
	if err := j.apply(r); err != nil {
		return nil, err
	}
	j.next.list = list
	return j.next, nil
}

// takeBatch returns the batch that has gathered and begins another one.
func (j *Journal) takeBatch() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.takeLocked()
}

func (j *Journal) takeLocked() *batch {
	b := j.next
	j.next = &batch{}
	return b
}

// flush writes a batch. The caller holds the writer lock. A failure is final, because
// memory is then ahead of the disk.
func (j *Journal) flush(b *batch) {
	if j.failed == nil && len(b.list) > 0 {
		if err := j.file.write(appendFrame(nil, b.list)); err != nil {
			j.fail(err)
		}
	}
	b.written, b.err = true, j.failed
}

// fail makes the journal refuse everything from now on.
func (j *Journal) fail(err error) { j.failed = fmt.Errorf("%w: %w", ErrFailed, err) }

// compact rewrites the file from memory. The caller holds the writer lock. The batch
// that waits for the next sync is in memory and so in the new file.
func (j *Journal) compact() error {
	j.mu.Lock()
	b := j.takeLocked()
	text, err := j.snapshotLocked()
	stale := j.stale
	j.stale = false
	j.mu.Unlock()
	var fresh *file
	if err == nil {
		fresh, err = writeFresh(j.dir, text)
	}
	if err != nil { // the old file is whole
		j.flush(b)
		j.mu.Lock()
		j.stale = j.stale || stale
		j.mu.Unlock()
		return err
	}
	if err := fresh.replace(j.dir, j.file); err != nil {
		j.fail(err)
	}
	j.file = fresh
	b.written, b.err = true, j.failed
	return j.failed
}

// snapshotLocked writes memory as a file, one frame for each recovery.
func (j *Journal) snapshotLocked() ([]byte, error) {
	text := []byte(magic)
	for _, e := range j.byID {
		var list []byte
		for _, r := range e.records() {
			var err error
			if list, err = appendRecord(list, r); err != nil {
				return nil, err
			}
		}
		text = appendFrame(text, list)
	}
	return text, nil
}

// records is the entry as a journal would have it.
func (e *entry) records() []record {
	rs := []record{{Begun: &e.Recovery}}
	if len(e.code.Sends) > 0 {
		c := e.code
		c.Recovery = e.ID
		rs = append(rs, record{Codes: &c})
	}
	if e.accepted != nil {
		rs = append(rs, record{Accepted: e.accepted})
	}
	for _, x := range e.executions {
		rs = append(rs, record{Executing: &x.Execution})
		if x.settlement != nil {
			rs = append(rs, record{Settled: x.settlement})
		}
	}
	if e.dropped {
		rs = append(rs, record{Dropped: e.ID})
	}
	return rs
}
