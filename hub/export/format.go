package export

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Format is how an event is written. The set is closed.
type Format string

// The formats.
const (
	JSONLines Format = "jsonl"
	RFC5424   Format = "rfc5424"
	CEF       Format = "cef"
	OCSF      Format = "ocsf"
)

// Formats lists the formats.
var Formats = []Format{JSONLines, RFC5424, CEF, OCSF}

// Line returns the event in a format, on one line without its end. host is the hub that
// the event is of.
func (e Event) Line(f Format, host string) ([]byte, error) {
	switch f {
	case JSONLines:
		return e.raw, nil
	case RFC5424:
		return e.syslog(host, e.elements(), e.raw), nil
	case CEF:
		return e.cef(), nil
	case OCSF:
		return e.ocsf(host)
	}
	return nil, fmt.Errorf("export: format %.20q is none of %v", f, Formats)
}

// Message returns the event as the message of a syslog stream, before framing.
func (e Event) Message(f Format, host string) ([]byte, error) {
	line, err := e.Line(f, host)
	if err != nil || f == RFC5424 {
		return line, err
	}
	return e.syslog(host, "-", line), nil
}

// Lengths of header fields, RFC 5424 §6.
const (
	maxHostname = 255
	maxMsgID    = 32
)

// syslogAudit is the facility "log audit", RFC 5424 §6.2.1.
const syslogAudit = 13

// enterprise names the structured data. 32473 is the number that RFC 5612 keeps for those
// who have none of their own.
const enterprise = "postern@32473"

// syslog writes a message of RFC 5424.
func (e Event) syslog(host, elements string, msg []byte) []byte {
	b := fmt.Appendf(nil, "<%d>1 %s %s postern - %s %s ", syslogAudit*8+e.shape().priority(), e.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
		word(host, maxHostname), word(string(e.Kind), maxMsgID), elements)
	return append(b, msg...)
}

// word is a header field: printable ASCII without spaces.
func word(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

// elements is the structured data of the event, RFC 5424 §6.3.
func (e Event) elements() string {
	_, actor := e.actor()
	b := "[" + enterprise
	for _, p := range [][2]string{{"id", e.ID}, {"kind", string(e.Kind)}, {"org", e.Org}, {"env", e.Env}, {"account", e.Account}, {"trace", e.Trace}, {"actor", actor}, {"src", e.Remote}} {
		if p[1] != "" {
			b += " " + p[0] + `="` + parameter.Replace(printable(p[1])) + `"`
		}
	}
	return b + "]"
}

var parameter = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

// maxField bounds one field, in bytes, so that one field does not take the place of all others.
const maxField = 1 << 10

// printable replaces what a reader might take for the end of a line, or show as something
// else: control and format characters, separators, bytes that are no text.
func printable(s string) string {
	if len(s) > maxField {
		s = s[:maxField]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r != ' ' && !unicode.IsGraphic(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Zs) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
}

var (
	cefHeader = strings.NewReplacer(`\`, `\\`, `|`, `\|`)
	cefValue  = strings.NewReplacer(`\`, `\\`, `=`, `\=`)
)

// cef writes the Common Event Format, version 0.
func (e Event) cef() []byte {
	kind := cefHeader.Replace(printable(string(e.Kind)))
	b := "CEF:0|Postern|Postern|1|" + kind + "|" + strings.ReplaceAll(kind, "_", " ") + "|" + strconv.Itoa(e.shape().cefSeverity()) + "|"
	actorKind, actor := e.actor()
	fields := [][2]string{{"rt", strconv.FormatInt(e.Time.UnixMilli(), 10)}, {"externalId", e.ID}, {"suid", actor}, {"spriv", actorKind}, {"duid", e.Account}}
	if addr, err := netip.ParseAddr(e.Remote); err == nil && addr.Unmap().Is4() {
		fields = append(fields, [2]string{"src", addr.Unmap().String()})
	} else if err == nil {
		fields = append(fields, [2]string{"c6a2Label", "Source IPv6 Address"}, [2]string{"c6a2", addr.WithZone("").String()})
	}
	fields = append(fields, [2]string{"requestClientApplication", e.UserAgent})
	for i, l := range [][2]string{{"organisation", e.Org}, {"environment", e.Env}, {"trace", e.Trace}} {
		if l[1] != "" {
			n := "cs" + strconv.Itoa(i+1)
			fields = append(fields, [2]string{n + "Label", l[0]}, [2]string{n, l[1]})
		}
	}
	sep := ""
	for _, f := range fields {
		if f[1] != "" {
			b += sep + f[0] + "=" + cefValue.Replace(printable(f[1]))
			sep = " "
		}
	}
	return []byte(b + " msg=" + cefValue.Replace(string(e.raw)))
}
