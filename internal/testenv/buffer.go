package testenv

import (
	"bytes"
	"strings"
	"sync"
)

// A Buffer keeps what goroutines write, a log mostly, while a test reads it. The zero
// value is empty and ready.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns all that was written until now.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Has reports whether the text was written.
func (b *Buffer) Has(text string) bool { return strings.Contains(b.String(), text) }
