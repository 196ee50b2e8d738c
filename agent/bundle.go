package agent

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/agent/settings"
)

// maxEventTail bounds how much of the event log a bundle has.
const maxEventTail = 256 << 10

// Bundle writes a zip for support: the report, the agent's file and the end of the event
// log. Nothing in it is a secret or names a person: contents of the files that the agent's
// file names as secrets are taken out wherever they stand, mail addresses are masked, and
// accounts become numbers that are the same throughout the bundle.
func Bundle(w io.Writer, cfg Config, r *doctor.Report) error {
	z := zip.NewWriter(w)
	c := newCleaner(cfg, r.Persons)
	var text, asJSON bytes.Buffer
	if err := r.Text(&text, false); err != nil {
		return err
	}
	if err := r.JSON(&asJSON); err != nil {
		return err
	}
	events, err := tail(filepath.Join(cfg.StateDir, eventsFile))
	if err != nil {
		events = []byte("no event log: " + err.Error() + "\n")
	}
	for _, f := range []struct {
		name string
		text []byte
	}{
		{"report.txt", text.Bytes()}, {"report.json", asJSON.Bytes()}, {"agent.toml", cfg.File.Text}, {"events.jsonl", events},
	} {
		entry, err := z.Create(f.name)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(entry, c.clean(string(f.text))); err != nil {
			return err
		}
	}
	return z.Close()
}

// tail reads the last whole lines of a file.
func tail(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, info.Size()-maxEventTail)
	text, err := io.ReadAll(io.NewSectionReader(f, from, maxEventTail))
	if from > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text, err
}

// A cleaner takes out of texts what a bundle must not have.
type cleaner struct {
	secrets  []string
	persons  []string
	accounts map[string]string
}

// newCleaner reads the secrets that it takes out. What cannot be read cannot be in a
// text either.
func newCleaner(cfg Config, persons []string) *cleaner {
	c := &cleaner{accounts: map[string]string{}}
	for _, p := range persons {
		if p = strings.TrimSpace(p); p != "" {
			c.persons = append(c.persons, p)
		}
	}
	slices.SortFunc(c.persons, func(a, b string) int { return len(b) - len(a) })
	for _, path := range secretFiles(cfg) {
		if s, err := settings.ReadSecret(path); err == nil && !s.Empty() {
			c.secrets = append(c.secrets, s.Reveal())
			if quoted, err := json.Marshal(s.Reveal()); err == nil {
				c.secrets = append(c.secrets, string(quoted[1:len(quoted)-1]))
			}
		}
	}
	slices.SortFunc(c.secrets, func(a, b string) int { return len(b) - len(a) })
	return c
}

// secretKeys are the keys of the agent's file, of any table, that name a file with a secret.
var secretKeys = regexp.MustCompile(`(?m)^\s*[a-z_]*(?:password_file|secret_file|key_file|token_file)\s*=\s*["']([^"']+)["']`)

func secretFiles(cfg Config) []string {
	var paths []string
	for _, m := range secretKeys.FindAllSubmatch(cfg.File.Text, -1) {
		paths = append(paths, cfg.File.Path(string(m[1])))
	}
	return paths
}

// Shapes of what names persons or opens doors, in reports, files and event logs.
var (
	secretValues = regexp.MustCompile(`(?mi)^(\s*[a-z_]*(?:password|secret|token|passphrase|api_key)[a-z_]*\s*=\s*)(?:"[^"\n]*"|'[^'\n]*')`)
	secretPaths  = regexp.MustCompile(`(?i)_file(\s*)$`)
	guids        = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	eventAccount = regexp.MustCompile(`("account":")((?:[^"\\]|\\.)+)(")`)
	personRDN    = regexp.MustCompile(`(?i)\b(cn|uid)=((?:\\.|[^,"\\+;\n])+)(,\s*(?:cn|ou|dc|o|uid|l|c)=)`)
	userinfo     = regexp.MustCompile(`(\b[a-z]+://)[^/\s"'@]+@`)
)

// clean takes out secrets first, then persons.
func (c *cleaner) clean(text string) string {
	for _, s := range c.secrets {
		text = strings.ReplaceAll(text, s, "[secret]")
	}
	for _, p := range c.persons {
		text = strings.ReplaceAll(text, p, c.account(p))
	}
	text = secretValues.ReplaceAllStringFunc(text, func(line string) string {
		key, _, _ := strings.Cut(line, "=")
		if secretPaths.MatchString(strings.TrimRight(key, " \t")) {
			return line // names a file, which is not in the bundle
		}
		return key + `= "[secret]"`
	})
	text = userinfo.ReplaceAllString(text, "$1[user]@")
	text = eventAccount.ReplaceAllStringFunc(text, func(m string) string {
		p := eventAccount.FindStringSubmatch(m)
		return p[1] + c.account(p[2]) + p[3]
	})
	text = guids.ReplaceAllStringFunc(text, c.account)
	text = personRDN.ReplaceAllStringFunc(text, func(m string) string {
		p := personRDN.FindStringSubmatch(m)
		return p[1] + "=" + c.account(p[2]) + p[3]
	})
	return address.ReplaceAllStringFunc(text, func(a string) string {
		if strings.TrimRight(a, ".") == aForm {
			return a
		}
		_, domain, _ := strings.Cut(a, "@")
		return "•••@" + domain
	})
}

// account is the number of an account in this bundle.
func (c *cleaner) account(id string) string {
	if strings.HasPrefix(id, "[account ") {
		return id // it was one already
	}
	key := strings.ToLower(id)
	if _, known := c.accounts[key]; !known {
		c.accounts[key] = fmt.Sprintf("[account %d]", len(c.accounts)+1)
	}
	return c.accounts[key]
}
