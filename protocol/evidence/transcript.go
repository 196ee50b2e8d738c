package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-id/postern/protocol"
)

// The ways in which a wallet answers.
const (
	TransportDCAPI    = "dc_api"   // the browser's Digital Credentials API
	TransportRedirect = "redirect" // a form post to response_uri
)

// maxPath bounds the path of a response_uri: a prefix and an unguessable part.
const maxPath = 256

// ClientPrefix begins the client id of every signed request (OpenID4VP 5.9.3).
const ClientPrefix = "x509_san_dns:"

// A Presentation is Raw of mdoc and sdjwt evidence, as JSON. It carries only what
// differs from one ceremony to the next; everything else of the transcript comes from
// the Anchors.
type Presentation struct {
	Transport  string `json:"transport"`
	Origin     string `json:"origin"`               // must be one of Anchors.Origins
	Response   []byte `json:"response"`             // DeviceResponse (CBOR), or the SD-JWT with key binding as text
	Thumbprint []byte `json:"thumbprint,omitempty"` // RFC 7638 SHA-256 of the key that the response was encrypted to
	Path       string `json:"path,omitempty"`       // redirect: path of response_uri
}

// Raw returns the JSON form.
func (p Presentation) Raw() ([]byte, error) {
	raw, err := json.Marshal(p)
	if err == nil && len(raw) > MaxRaw {
		err = fmt.Errorf("%w: a presentation of %d bytes", ErrFormat, len(raw))
	}
	return raw, err
}

// readPresentation parses raw and checks everything that needs no context.
func readPresentation(raw []byte, a Anchors) (Presentation, error) {
	var p Presentation
	if err := readJSON(raw, &p); err != nil {
		return p, err
	}
	if len(p.Response) == 0 {
		return p, fmt.Errorf("%w: empty response", ErrFormat)
	}
	if n := len(p.Thumbprint); n != 0 && n != sha256.Size {
		return p, fmt.Errorf("%w: thumbprint of %d bytes", ErrFormat, n)
	}
	if !slices.Contains(a.Origins, p.Origin) {
		return p, fmt.Errorf("%w: origin is not on the list", ErrContext)
	}
	switch p.Transport {
	case TransportDCAPI:
	case TransportRedirect:
		if !plainPath(p.Path) {
			return p, fmt.Errorf("%w: path of response_uri", ErrFormat)
		}
		if len(p.Thumbprint) == 0 {
			return p, fmt.Errorf("%w: a redirect response that was not encrypted", ErrContext)
		}
	default:
		return p, fmt.Errorf("%w: transport", ErrFormat)
	}
	return p, nil
}

// readJSON parses one bounded JSON object strictly into v.
func readJSON(raw []byte, v any) error {
	if len(raw) > MaxRaw {
		return fmt.Errorf("%w: %d bytes", ErrFormat, len(raw))
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %v", ErrFormat, err)
	}
	if d.More() {
		return fmt.Errorf("%w: more than one value", ErrFormat)
	}
	return nil
}

// plainPath accepts absolute paths without anything that would need escaping, so that
// origin and path joined are the response_uri to the byte.
func plainPath(p string) bool {
	if !strings.HasPrefix(p, "/") || len(p) > maxPath {
		return false
	}
	return !strings.ContainsFunc(p, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/-_.~", r))
	})
}

// ClientID is the client id of signed requests for a recovery origin, or "" when the
// origin has no host.
func ClientID(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	return ClientPrefix + u.Hostname()
}

// audience is the aud of a key binding JWT (OpenID4VP 8.2 and A.4).
func (p Presentation) audience() string {
	if p.Transport == TransportDCAPI {
		return "origin:" + p.Origin
	}
	return ClientID(p.Origin)
}

// transcript returns the CBOR of SessionTranscript for this ceremony (OpenID4VP
// B.2.6).
func (p Presentation) transcript(c protocol.Context) ([]byte, error) {
	var thumb any
	if len(p.Thumbprint) > 0 {
		thumb = p.Thumbprint
	}
	if p.Transport == TransportDCAPI {
		return Transcript("OpenID4VPDCAPIHandover", p.Origin, c.String(), thumb)
	}
	return Transcript("OpenID4VPHandover", ClientID(p.Origin), c.String(), thumb, p.Origin+p.Path)
}

// Transcript returns deterministic CBOR of [null, null, [name, SHA-256(info)]], where
// info is the CBOR array of what the handover binds. Wallets build the same.
func Transcript(name string, info ...any) ([]byte, error) {
	b, err := deterministic.Marshal(info)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return deterministic.Marshal([]any{nil, nil, []any{name, sum[:]}})
}
