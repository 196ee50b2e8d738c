package command

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/postern-id/postern/protocol"
)

// Bounds of what a worker says on stderr.
const (
	maxLine     = 1000 // bytes of one line; the rest of it is dropped
	linesPer    = 60   // lines in one window; a chatty worker fills no disk
	lineWindow  = time.Minute
	maxHeld     = 40 // lines that wait for the end of an operation
	keptSecrets = 16 // of the last operations, which a worker may still speak of
)

// A chatter writes what a worker says on stderr to the agent's log: bounded, and without
// secrets. While an operation runs its lines wait, since only its end tells the secret.
type chatter struct {
	log  *slog.Logger
	pipe io.Writer // the worker's stderr, for a line of the agent's own

	mu      sync.Mutex
	busy    bool
	until   string // a line of the agent's own: what comes before it is dropped; empty if none
	held    []string
	secrets []protocol.Secret
	since   time.Time
	count   int
	dropped int
}

// read takes lines until r ends.
func (c *chatter) read(r io.Reader) {
	lines := bufio.NewReaderSize(r, maxLine)
	rest := false // of a line whose beginning was taken
	for {
		text, more, err := lines.ReadLine()
		if err != nil {
			return
		}
		if !rest {
			c.line(string(text))
		}
		rest = more
	}
}

func (c *chatter) line(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case text == c.until:
		c.until = ""
	case c.until != "":
		c.dropped++
	case !c.busy:
		c.write(text)
	case len(c.held) < maxHeld:
		c.held = append(c.held, text)
	default:
		c.dropped++
	}
}

// write is called with the lock.
func (c *chatter) write(text string) {
	if now := time.Now(); now.Sub(c.since) > lineWindow {
		if c.dropped > 0 {
			c.log.Warn("worker says more than is kept", "lines", c.dropped)
		}
		c.since, c.count, c.dropped = now, 0, 0
	}
	if c.count++; c.count > linesPer {
		c.dropped++
		return
	}
	if text = scrub(without(text, c.secrets), maxLine); text != "" {
		c.log.Info("worker says", "text", text)
	}
}

// begin holds lines back: an operation starts, perhaps with a secret that the worker is
// given.
func (c *chatter) begin(given protocol.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = true
	c.keep(given)
}

// end writes the lines that were held back, without the secrets that the worker gave. If
// nobody can know them, since its answer is lost, the lines are dropped, and with them
// what the worker has said so far and nobody has read yet.
func (c *chatter) end(known bool, made ...protocol.Secret) {
	if !known {
		defer c.mark()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range made {
		c.keep(s)
	}
	c.busy = false
	if !known {
		if len(c.held) > 0 {
			c.log.Warn("worker said something that may hold a secret", "lines", len(c.held))
		}
		c.held, c.until = nil, rand.Text()
	}
	for _, text := range c.held {
		c.write(text)
	}
	c.held = nil
}

// mark writes the line that ends the silence into the worker's own stderr: it comes after
// everything that the worker wrote before its answer. A worker that is gone says nothing.
func (c *chatter) mark() {
	c.mu.Lock()
	line := c.until
	c.mu.Unlock()
	_, _ = io.WriteString(c.pipe, "\n"+line+"\n")
}

func (c *chatter) keep(s protocol.Secret) {
	if s.Empty() {
		return
	}
	c.secrets = append(c.secrets, s)
	c.secrets = c.secrets[max(0, len(c.secrets)-keptSecrets):]
}

// without replaces secrets in text, in the forms in which programs print them.
func without(text string, secrets []protocol.Secret) string {
	for _, s := range secrets {
		for _, form := range forms(s.Reveal()) {
			text = strings.ReplaceAll(text, form, s.String())
		}
	}
	return text
}

// forms are how a secret may stand in a line.
func forms(secret string) []string {
	quoted, _ := json.Marshal(secret) // a string always marshals
	return []string{
		secret, strings.Trim(string(quoted), `"`), url.QueryEscape(secret), hex.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
	}
}

// address matches what may be a mail address inside a sentence.
var address = regexp.MustCompile(`[^\s"'<>(),;:=]+@[^\s"'<>(),;=]+`)

// scrub makes one line of text without mail addresses and control characters, of at most
// limit bytes.
func scrub(text string, limit int) string {
	if len(text) > 4*limit { // the expression below is not run over megabytes
		text = text[:4*limit]
	}
	text = shown(address.ReplaceAllString(strings.ToValidUTF8(text, "?"), "•••"))
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return text
}
