package agent

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// Bounds of one message.
const (
	smsLife     = 15 * time.Second // an employee waits for it
	smsReply    = 64 << 10         // of what a service says, which nobody looks at: it may repeat the message
	codePhones  = 2                // numbers that one code is sent to
	longestNote = 40               // bytes of a number as directories write it
)

// A texter sends codes by the service of the agent's file.
type texter struct {
	cfg    SMSConfig
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	since time.Time
	sent  int
}

// newTexter returns nil when the file names no service.
func newTexter(cfg SMSConfig, now func() time.Time) (*texter, error) {
	if !cfg.on() {
		return nil, nil
	}
	roots, err := rootsWith(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("sms.ca_file: %w", err)
	}
	return &texter{cfg: cfg, now: now, client: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the service answers with a redirect") },
	}}, nil
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// number reads a number as directories write it, with its country, and refuses one that
// messages do not go to. "+49 (0)170" is none: whether the zero belongs to it nobody
// knows.
func (t *texter) number(text string) (string, bool) {
	if len(text) > longestNote || strings.Contains(text, "(0)") {
		return "", false
	}
	n := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -./()\u00a0", r) {
			return -1
		}
		return r
	}, text)
	return n, e164.MatchString(n) && slices.ContainsFunc(t.cfg.Prefixes, func(p string) bool { return strings.HasPrefix(n, p) })
}

// numbers are those of a list that messages go to.
func (t *texter) numbers(list []string) []string {
	if t == nil {
		return nil
	}
	var to []string
	for _, text := range list {
		if n, ok := t.number(text); ok && len(to) < codePhones && !slices.Contains(to, n) {
			to = append(to, n)
		}
	}
	return to
}

// maskPhone shows of a number its last two digits.
func maskPhone(number string) string { return "•••" + number[len(number)-2:] }

// sendCode gives one message for each number to the service. It is sent when one of them
// was taken. Errors hold neither number nor code nor secret.
func (t *texter) sendCode(ctx context.Context, to []string, c codeText) error {
	var errs []error
	for _, n := range to {
		if err := t.send(ctx, n, smsText(c)); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) < len(to) {
		return nil
	}
	return errors.Join(errs...)
}

// take counts a message of the day.
func (t *texter) take() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.now(); t.since.IsZero() || now.Sub(t.since) >= 24*time.Hour {
		t.since, t.sent = now, 0
	}
	limit := t.cfg.PerDay
	if limit == 0 {
		limit = smsPerDay
	}
	t.sent++
	return t.sent <= limit
}

func (t *texter) send(ctx context.Context, to, text string) error {
	if !t.take() {
		return errors.New("as many text messages were sent today as sms.per_day allows")
	}
	var secret protocol.Secret
	if t.cfg.SecretFile != "" {
		var err error
		if secret, err = settings.ReadSecret(t.cfg.SecretFile); err != nil {
			return fmt.Errorf("sms.secret_file: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, smsLife)
	defer cancel()
	req, err := t.cfg.request(ctx, to, text, secret)
	if err != nil {
		return errors.New("the request for the text message cannot be written; look at the table [sms]")
	}
	return t.post(req)
}

func (t *texter) post(req *http.Request) error {
	res, err := t.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // its text holds the address, and that may hold all three
			err = u.Err
		}
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, smsReply))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the service for text messages answered with status %d", res.StatusCode)
	}
	return nil
}

// request writes what the service is asked.
func (s SMSConfig) request(ctx context.Context, to, text string, secret protocol.Secret) (*http.Request, error) {
	if s.TwilioAccount != "" {
		return s.twilio(ctx, to, text, secret)
	}
	fill := func(template string, escape func(string) string) string {
		return strings.NewReplacer("{to}", escape(to), "{text}", escape(text), "{secret}", escape(secret.Reveal())).Replace(template)
	}
	kind, escape := "application/x-www-form-urlencoded", url.QueryEscape
	if s.json() {
		kind, escape = "application/json", jsonText
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fill(s.URL, url.QueryEscape), strings.NewReader(fill(s.Body, escape)))
	if err != nil {
		return nil, err
	}
	if s.Body != "" {
		req.Header.Set("Content-Type", kind)
	}
	for name, value := range s.Headers {
		req.Header.Set(name, fill(value, func(v string) string { return v }))
	}
	if s.User != "" {
		req.SetBasicAuth(s.User, secret.Reveal())
	}
	return req, nil
}

// json reports whether the body is JSON, by how it begins.
func (s SMSConfig) json() bool {
	body := strings.TrimSpace(s.Body)
	return strings.HasPrefix(body, "[") || strings.HasPrefix(body, "{") && !slices.ContainsFunc([]string{"{to}", "{text}", "{secret}"}, func(p string) bool { return strings.HasPrefix(body, p) })
}

// jsonText is how a text stands between quotes in JSON.
func jsonText(v string) string {
	b, _ := json.Marshal(v) // of a string never fails
	return string(b[1 : len(b)-1])
}

// twilio is the form of "Create a Message resource", which many services imitate.
func (s SMSConfig) twilio(ctx context.Context, to, text string, secret protocol.Secret) (*http.Request, error) {
	server := s.URL
	if server == "" {
		server = twilioServer
	}
	form := url.Values{"To": {to}, "Body": {text}}
	if strings.HasPrefix(s.From, "MG") {
		form.Set("MessagingServiceSid", s.From)
	} else {
		form.Set("From", s.From)
	}
	address := strings.TrimSuffix(server, "/") + "/2010-04-01/Accounts/" + url.PathEscape(s.TwilioAccount) + "/Messages.json"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(s.TwilioAccount, secret.Reveal())
	return req, nil
}

// smsText writes the message. The last line lets browsers offer the code on the recovery
// host and nowhere else (WICG, Origin-bound one-time codes).
func smsText(c codeText) string {
	language := languageOf(c.language)
	words := smsWords[language]
	host, _, _ := strings.Cut(c.origin, ":")
	body := fmt.Sprintf(words.body, c.code.Reveal(), host)
	if c.operation != "" {
		body = fmt.Sprintf(words.named, c.code.Reveal(), host, c.account, inWords(c.operation, language))
	}
	return body + fmt.Sprintf("\n\n@%s #%s", host, c.code.Reveal())
}

// smsWords are the sentences of the message, by language.
var smsWords = map[string]struct{ body, named string }{
	"en": {
		"%s is your code for %s. Never tell it to anybody.",
		"%s is your code for %s, for the account %s: %s. Type it there alone, and only if you want exactly this. Never tell it to anybody.",
	},
	"de": {
		"%s ist Ihr Code für %s. Sagen Sie ihn niemandem.",
		"%s ist Ihr Code für %s, für das Konto %s: %s. Geben Sie ihn nur dort ein und nur, wenn Sie genau das wollen. Sagen Sie ihn niemandem.",
	},
}
