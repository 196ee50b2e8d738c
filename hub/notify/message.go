package notify

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"html"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"time"
	"unicode"

	"github.com/postern-id/postern/hub/locale"
)

// A letter is a mail in words, to one recipient.
type letter struct {
	To       string `json:"to"`
	Subject  string `json:"subject"`
	Text     string `json:"text"`
	Language string `json:"language"`
	Dir      string `json:"dir"`
}

func newLetter(l *locale.Language, to, subject, text string) letter {
	return letter{to, oneLine(subject), text, l.Code(), l.Dir()}
}

// oneLine keeps a text from breaking out of its header, or from looking like several.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }), " ")
}

// maxAddress bounds a mail address (RFC 5321 §4.5.3.1.3).
const maxAddress = 254

// deliverable reports whether a text from a directory is one plain mail address, and
// nothing that could become a header or a second recipient.
func deliverable(addr string) bool {
	local, domain, ok := strings.Cut(addr, "@")
	if !ok || local == "" || domain == "" || len(addr) > maxAddress || strings.Contains(domain, "@") {
		return false
	}
	if strings.ContainsFunc(addr, func(r rune) bool {
		return r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune(`<>()[]\,;:"`, r)
	}) {
		return false
	}
	parsed, err := mail.ParseAddress("<" + addr + ">")
	return err == nil && parsed.Address == addr
}

// render writes the message (RFC 5322, 2045, 3834) with id in its Message-ID, so that
// a repetition after a crash is known as one.
func (l letter) render(from *mail.Address, id string, at time.Time) ([]byte, error) {
	var parts bytes.Buffer
	w := multipart.NewWriter(&parts)
	if err := w.SetBoundary("b-" + rand.Text()); err != nil {
		return nil, err
	}
	for _, p := range []struct{ kind, text string }{{"text/plain", l.Text}, {"text/html", l.html()}} {
		if err := addPart(w, p.kind, p.text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, domain, _ := strings.Cut(from.Address, "@")
	for _, h := range [][2]string{
		{"From", from.String()},
		{"To", "<" + l.To + ">"},
		{"Subject", mime.QEncoding.Encode("utf-8", l.Subject)},
		{"Date", at.Format(time.RFC1123Z)},
		{"Message-ID", "<" + id + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"}, // no vacation notes in reply
		{"X-Auto-Response-Suppress", "All"},
		{"Content-Language", l.Language},
		{"MIME-Version", "1.0"},
		{"Content-Type", `multipart/alternative; boundary="` + w.Boundary() + `"`},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	b.Write(parts.Bytes())
	return b.Bytes(), nil
}

func addPart(w *multipart.Writer, kind, text string) error {
	p, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Type": {kind + "; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"},
	})
	if err != nil {
		return err
	}
	q := quotedprintable.NewWriter(p)
	if _, err := q.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
		return err
	}
	return q.Close()
}

// indent marks a line that stands out, in texts of the catalogue.
const indent = "    "

// html writes the same words as paragraphs: a line that stands out is large, a line
// that is an address of ours is a link.
func (l letter) html() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html><html lang="%s" dir="%s"><meta charset="utf-8"><body style="font-family:sans-serif;line-height:1.5;max-width:40em">`,
		html.EscapeString(l.Language), html.EscapeString(l.Dir))
	for paragraph := range strings.SplitSeq(strings.TrimSpace(strings.ReplaceAll(l.Text, "\r\n", "\n")), "\n\n") {
		text := html.EscapeString(strings.TrimSpace(paragraph))
		switch {
		case strings.HasPrefix(paragraph, indent):
			fmt.Fprintf(&b, `<p style="font-size:1.6em;letter-spacing:.1em">%s</p>`, text)
		case isLink(strings.TrimSpace(paragraph)):
			fmt.Fprintf(&b, `<p><a href="%s">%s</a></p>`, text, text)
		default:
			fmt.Fprintf(&b, "<p>%s</p>", strings.ReplaceAll(text, "\n", "<br>"))
		}
	}
	b.WriteString("</body></html>")
	return b.String()
}

func isLink(s string) bool {
	return (strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")) && !strings.ContainsFunc(s, unicode.IsSpace)
}
