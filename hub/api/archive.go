package api

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
)

// An archive of photos is a zip file (PKWARE APPNOTE 6.3.10) that lies on the disk. Its
// directory is read entry by entry, because the reader of the standard library holds all of
// it in memory: ten million entries fit into 500 MB.

// Sizes and signatures of APPNOTE 4.3.
const (
	zipEndSize   = 22 // end of central directory, without its comment
	zipEntrySize = 46 // header in the central directory
	zipLocalSize = 30 // header before the file
	zipComment   = 1<<16 - 1
	zipEnd       = 0x06054b50
	zipEntry     = 0x02014b50
	zipLocal     = 0x04034b50
	zipEncrypted = 1 << 0 // of the flags
	zipStored    = 0
	zipDeflated  = 8
)

// Errors of archives.
var (
	errZip  = errors.New("api: not a zip file, or one that is damaged or larger than 4 GB inside")
	errBomb = errors.New("api: the file is larger, or packed tighter, than a photo can be")
	errFile = errors.New("api: the file in the archive is damaged, encrypted or packed in a way that is not read; want it stored or deflated")
)

// maxFileName is the longest name of a file that is taken, in bytes, with its folders: an
// answer repeats the names of all.
const maxFileName = 1 << 10

// A zipFile is an entry of the directory.
type zipFile struct {
	name                     string // its beginning, where the archive's is longer than maxFileName
	long                     bool   // it is
	flags, method            uint16
	crc                      uint32
	packed, unpacked, offset int64
}

// zipEntries yields the entries of an archive of size bytes, in their order, until yield
// returns false.
func zipEntries(r io.ReaderAt, size int64, yield func(zipFile) bool) error {
	start, n, err := zipDirectory(r, size)
	if err != nil {
		return err
	}
	in := bufio.NewReader(io.NewSectionReader(r, start, n))
	var h [zipEntrySize]byte
	for {
		if _, err := io.ReadFull(in, h[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil || binary.LittleEndian.Uint32(h[:]) != zipEntry {
			return errZip
		}
		le := binary.LittleEndian
		f := zipFile{flags: le.Uint16(h[8:]), method: le.Uint16(h[10:]), crc: le.Uint32(h[16:]),
			packed: int64(le.Uint32(h[20:])), unpacked: int64(le.Uint32(h[24:])), offset: int64(le.Uint32(h[42:]))}
		length := int(le.Uint16(h[28:]))
		name := make([]byte, min(length, maxFileName))
		if _, err := io.ReadFull(in, name); err != nil {
			return errZip
		}
		if _, err := in.Discard(length - len(name) + int(le.Uint16(h[30:])) + int(le.Uint16(h[32:]))); err != nil {
			return errZip
		}
		f.long = length > len(name)
		f.name = strings.ToValidUTF8(string(name), "\uFFFD")
		if !yield(f) {
			return nil
		}
	}
}

// zipDirectory finds the directory of an archive: where it begins, and its length.
func zipDirectory(r io.ReaderAt, size int64) (start, n int64, err error) {
	tail := make([]byte, min(size, zipEndSize+zipComment))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, err
	}
	var sig [4]byte
	binary.LittleEndian.PutUint32(sig[:], zipEnd)
	i := bytes.LastIndex(tail, sig[:])
	if i < 0 || len(tail)-i < zipEndSize {
		return 0, 0, errZip
	}
	end := tail[i:]
	n, start = int64(binary.LittleEndian.Uint32(end[12:])), int64(binary.LittleEndian.Uint32(end[16:]))
	if start+n > size-int64(len(end)) {
		return 0, 0, errZip
	}
	return start, n, nil
}

// maxRatio is how much smaller a packed photo may be: photos are packed already.
const maxRatio = 50

// read returns what is in a file of at most most bytes. It holds no more than that.
func (f zipFile) read(r io.ReaderAt, size, most int64) ([]byte, error) {
	if f.unpacked > most || f.unpacked > f.packed*maxRatio+1024 {
		return nil, errBomb
	}
	var h [zipLocalSize]byte
	if _, err := r.ReadAt(h[:], f.offset); err != nil || binary.LittleEndian.Uint32(h[:]) != zipLocal || f.flags&zipEncrypted != 0 {
		return nil, errFile
	}
	begin := f.offset + zipLocalSize + int64(binary.LittleEndian.Uint16(h[26:])) + int64(binary.LittleEndian.Uint16(h[28:]))
	if begin+f.packed > size {
		return nil, errFile
	}
	var in io.Reader = io.NewSectionReader(r, begin, f.packed)
	switch f.method {
	case zipStored:
	case zipDeflated:
		in = flate.NewReader(in)
	default:
		return nil, errFile
	}
	b, err := io.ReadAll(io.LimitReader(in, f.unpacked+1))
	if err != nil || int64(len(b)) != f.unpacked || crc32.ChecksumIEEE(b) != f.crc {
		return nil, errFile
	}
	return b, nil
}
