package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
)

// A record of a redo file begins with its length, a checksum of all that follows, and the
// generation of the file: what is left of an earlier one ends the file.
const redoHeader = 4 + 4 + 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRedo appends a record of a generation with its header.
func appendRedo(b []byte, seed uint32, generation int64, record []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(record)))
	at := len(b)
	b = binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 0), uint64(generation))
	b = append(b, record...)
	binary.BigEndian.PutUint32(b[at:], crc32.Update(seed, castagnoli, b[at+4:]))
	return b
}

// cutRedo returns the first record of b, its generation and what is behind it. ok is false
// where there is no whole one.
func cutRedo(b []byte, seed uint32) (record []byte, generation int64, rest []byte, ok bool) {
	if len(b) < redoHeader {
		return nil, 0, nil, false
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if n > uint64(len(b)-redoHeader) || crc32.Update(seed, castagnoli, b[8:redoHeader+n]) != binary.BigEndian.Uint32(b[4:]) {
		return nil, 0, nil, false
	}
	generation = int64(binary.BigEndian.Uint64(b[8:]))
	return b[redoHeader : redoHeader+n], generation, b[redoHeader+n:], generation > 0
}

// readRedo returns the records of the generation that a file holds; 0 where there are none.
func readRedo(f *os.File, seed uint32) (all []redoRecord, generation int64, err error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxRedo))
	if err != nil {
		return nil, 0, err
	}
	return parseRedo(b, seed)
}

func parseRedo(b []byte, seed uint32) (all []redoRecord, generation int64, err error) {
	for {
		text, of, rest, ok := cutRedo(b, seed)
		if !ok || generation != 0 && of != generation {
			return all, generation, nil
		}
		r, err := parseRedoRecord(text)
		if err != nil {
			return nil, 0, err
		}
		all, generation, b = append(all, r), of, rest
	}
}

// A redoRecord is what a final step has come to: an exchange, and what of it was not in the
// database then.
type redoRecord struct {
	stored int64 // version of the row; 0: there was none
	next   OIDCExchange
	events [][]any // audit rows
}

// redoFormat is the first byte of a record.
const redoFormat = 1

// errRedoRecord says that a record is whole, and not one of this program.
var errRedoRecord = errors.New("store: a record of the redo file is of another version of this program: start that one once, and end it")

// texts are those of an exchange that a record holds.
func (e *OIDCExchange) texts() []*string {
	return []*string{&e.Env, &e.ID, &e.Client, &e.State, &e.Secret, &e.Browser, &e.Access, &e.sealed, &e.About}
}

// size is how long it will be at most, in bytes.
func (r redoRecord) size() int {
	n := 1 + 5*binary.MaxVarintLen64
	for _, text := range r.next.texts() {
		n += binary.MaxVarintLen32 + len(*text)
	}
	for _, row := range r.events {
		for i := range row {
			n += binary.MaxVarintLen64 + len(textOf(row, i))
		}
	}
	return n
}

// append writes a record. What is secret of the exchange is sealed.
func (r redoRecord) append(b []byte) []byte {
	b = append(b, redoFormat)
	for _, n := range []int64{r.stored, r.next.Version, Millis(r.next.ExpiresAt), Millis(r.next.CreatedAt)} {
		b = binary.AppendVarint(b, n)
	}
	for _, text := range r.next.texts() {
		b = appendText(b, *text)
	}
	b = binary.AppendUvarint(b, uint64(len(r.events)))
	for _, row := range r.events {
		for _, v := range row {
			b = appendValue(b, v)
		}
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendValue writes a value of an audit row, whose places say which are numbers.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.AppendVarint(b, v)
	case string:
		return appendText(b, v)
	}
	panic("store: an audit row has texts and numbers only")
}

// auditTime is the place of the number in an audit row.
const auditTime = 6

func parseRedoRecord(b []byte) (r redoRecord, err error) {
	if len(b) == 0 || b[0] != redoFormat {
		return r, errRedoRecord
	}
	c := redoCursor{b: b[1:]}
	r.stored, r.next.Version = c.number(), c.number()
	r.next.ExpiresAt, r.next.CreatedAt = Time(c.number()), Time(c.number())
	for _, text := range r.next.texts() {
		*text = c.text()
	}
	for n := c.count(); n > 0 && !c.bad; n-- {
		r.events = append(r.events, c.row())
	}
	if c.bad || len(c.b) > 0 {
		return redoRecord{}, errRedoRecord
	}
	return r, nil
}

// A redoCursor reads a record; bad after anything that is none.
type redoCursor struct {
	b   []byte
	bad bool
}

func (c *redoCursor) number() int64 {
	v, n := binary.Varint(c.b)
	c.skip(n)
	return v
}

func (c *redoCursor) count() uint64 {
	v, n := binary.Uvarint(c.b)
	c.skip(n)
	return v
}

func (c *redoCursor) skip(n int) {
	if c.bad = c.bad || n <= 0; !c.bad {
		c.b = c.b[n:]
	}
}

func (c *redoCursor) text() (s string) {
	n := c.count()
	if c.bad = c.bad || n > uint64(len(c.b)); !c.bad {
		s, c.b = string(c.b[:n]), c.b[n:]
	}
	return s
}

func (c *redoCursor) row() []any {
	row := make([]any, auditColumnCount)
	for i := range row {
		if i == auditTime {
			row[i] = c.number()
		} else {
			row[i] = c.text()
		}
	}
	return row
}
