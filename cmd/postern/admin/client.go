package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/postern-id/postern/protocol"
)

// Environment variables.
const (
	serverVariable = "POSTERN_SERVER"
	keyVariable    = "POSTERN_KEY"
)

// flags are those of every command that speaks to a hub.
type flags struct {
	server, keyFile, configFile, env string
	json                             bool
}

// on adds the flags to c and what is below it.
func (f *flags) on(c *cobra.Command) {
	p := c.PersistentFlags()
	p.StringVar(&f.server, "server", "", "address of the hub, such as https://id.example.com")
	p.StringVar(&f.keyFile, "key-file", "", `file with the API key, "-" for standard input`)
	p.StringVar(&f.configFile, "client-config", "", "configuration file (default: postern/client.json in the user's configuration folder)")
	p.StringVarP(&f.env, "env", "e", "", "id of the environment; may be left out where there is only one")
	p.BoolVar(&f.json, "json", false, "print JSON, as the API answers it")
}

// client speaks to one hub.
type client struct {
	server string
	key    protocol.Secret
	http   *http.Client
}

// saved is the configuration file.
type saved struct {
	Server string `json:"server"`
	Key    string `json:"key"`
}

// requestTimeout bounds one request: a domain check asks name servers that may be slow.
const requestTimeout = 60 * time.Second

// client finds server and key.
func (f *flags) client(c *cobra.Command) (*client, error) {
	var file saved
	server, key := f.server, os.Getenv(keyVariable)
	if server == "" {
		server = os.Getenv(serverVariable)
	}
	if f.keyFile != "" {
		b, err := readKey(c.InOrStdin(), f.keyFile)
		if err != nil {
			return nil, err
		}
		key = b
	}
	if server == "" || key == "" {
		var err error
		if file, err = f.readConfig(); err != nil {
			return nil, err
		}
	}
	if key == "" && !file.fits(server) {
		return nil, fmt.Errorf("the key that is kept is for %s, and goes to no other hub; sign in to this one with \"postern auth login --server %s\", or give --key-file", file.Server, server)
	}
	server, key = first(server, file.Server), first(key, file.Key)
	if server == "" || key == "" {
		return nil, noKey(os.Geteuid(), defaultCaddyfile)
	}
	server, ok := hubAddress(server)
	if !ok {
		return nil, fmt.Errorf("server %q: want an address such as https://id.example.com", server)
	}
	return &client{server, protocol.NewSecret(key), &http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a key goes to nobody else
	}}, nil
}

// fits reports whether the key of a file may go to a server: the one that it came from, if
// that is known. "" stands for that one.
func (s saved) fits(server string) bool {
	if s.Key == "" || s.Server == "" || server == "" {
		return true
	}
	named, _ := hubAddress(server)
	own, _ := hubAddress(s.Server)
	return named == own
}

// hubAddress returns scheme and host of a hub, and whether a key may go there: over https, or
// to this very machine.
func hubAddress(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text, false
	}
	name, ip := strings.ToLower(u.Hostname()), net.ParseIP(u.Hostname())
	here := name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
	u.Host = strings.ToLower(u.Host)
	return strings.TrimSuffix(u.String(), "/"), u.Scheme == "https" || u.Scheme == "http" && here
}

// noKey says how a command learns of a hub. Root of an edge's machine is told who has
// the file there: "postern init --save" runs as the user postern.
func noKey(uid int, caddyfile string) error {
	other := ""
	if _, err := os.Stat(caddyfile); err == nil && uid == 0 {
		other = "; or run it as the user postern: runuser -u postern -- env HOME=/var/lib/postern postern …"
	}
	return fmt.Errorf("no server or no key: give --server and --key-file, set %s and %s, or run \"postern init --save\"%s", serverVariable, keyVariable, other)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// maxKeyFile bounds what is read of a file that should hold one line.
const maxKeyFile = 4096

// readKey reads a key from a file, or from standard input.
func readKey(in io.Reader, name string) (string, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxKeyFile))
	key := strings.TrimSpace(string(b))
	if err == nil && (key == "" || strings.ContainsAny(key, " \t\r\n")) {
		err = fmt.Errorf("%s: want one line with the API key", name)
	}
	return key, err
}

// configPath returns where the configuration file is.
func (f *flags) configPath() (string, error) {
	if f.configFile != "" {
		return f.configFile, nil
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "postern", "client.json"), err
}

// readConfig reads the configuration file; none is an empty one. A file that others
// may read is refused: it holds a key.
func (f *flags) readConfig() (saved, error) {
	var s saved
	path, err := f.configPath()
	if err != nil {
		return s, nil // no home, no file
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) && f.configFile == "" {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return s, fmt.Errorf("%s holds a key and others may read it: chmod 600 %s", path, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// configPlace is configPath, with the folder that the file stands in.
func (f *flags) configPlace() (string, error) {
	path, err := f.configPath()
	if err != nil {
		return "", err
	}
	return path, os.MkdirAll(filepath.Dir(path), 0o700)
}

// keeps returns an error where writeConfig would fail.
func (f *flags) keeps() error {
	path, err := f.configPlace()
	if err != nil {
		return err
	}
	return writable(path)
}

// writeConfig writes the configuration file with mode 0600.
func (f *flags) writeConfig(s saved) (string, error) {
	path, err := f.configPlace()
	if err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return "", err
	}
	return path, writeSecret(path, append(b, '\n'))
}

// writable returns an error where writeSecret would fail: a secret is shown once, and so one
// is not made before it is known where it goes. "" is standard output.
func writable(path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: want a file", path)
	}
	if err := writeSecret(path+".try", nil); err != nil {
		return err
	}
	return os.Remove(path + ".try")
}

// writeSecret writes a file with mode 0600, whatever mode a former one has.
func writeSecret(path string, b []byte) error {
	tmp := path + ".new"
	_ = os.Remove(tmp) // or the mode of an old one would stay
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// maxAnswer bounds an answer of the API: a page of a thousand accounts has about 1 MiB.
const maxAnswer = 16 << 20

// do sends a request and decodes the answer into out, unless that is nil. A refusal is
// an error with the lines that the API gave.
func (cl *client) do(ctx context.Context, method, path string, body, out any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, cl.server+path, in)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return cl.finish(cl.http, req, out)
}

// uploadTimeout bounds the upload of a file: half a gigabyte of photos over a slow line.
const uploadTimeout = time.Hour

// put sends a file of a kind and of size bytes, and decodes the answer into out.
func (cl *client) put(ctx context.Context, path, kind string, in io.Reader, size int64, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, cl.server+path, in)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", kind)
	slow := *cl.http
	slow.Timeout = uploadTimeout
	return cl.finish(&slow, req, out)
}

// userAgent names this program in the audit log of the hub, in the form in which the
// reference's command line names itself.
func userAgent() string {
	return "postern-cli/" + cmp.Or(caddy.CustomVersion, "dev") + "; " + runtime.GOOS + "-" + runtime.GOARCH
}

// finish sends a request with the key and reads the answer.
func (cl *client) finish(by *http.Client, req *http.Request, out any) error {
	req.Header.Set("Authorization", "Bearer "+cl.key.Reveal())
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent())
	resp, err := by.Do(req)
	if err != nil {
		return fmt.Errorf("the hub does not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return refusal(req.URL.Path, resp.StatusCode, b)
	}
	if out == nil || len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, out)
}

// refusal returns what the API said of a request that it did not carry out.
func refusal(path string, status int, body []byte) error {
	var r struct {
		Errors []string `json:"errors"`
	}
	if json.Unmarshal(body, &r) != nil || len(r.Errors) == 0 {
		return fmt.Errorf("the hub answered %d %s; is this the address of its console?", status, http.StatusText(status))
	}
	if status == http.StatusNotFound {
		return fmt.Errorf("%s: the hub has no such thing, or the key may not see it; %s shows what there is", path, lister(path))
	}
	return errors.New(strings.Map(steersNothing, strings.Join(r.Errors, "\n")))
}

// listers are the commands that show what a part of a path can be, the innermost first.
var listers = []struct{ part, command string }{
	{"domains", "env domain list"}, {"identity-providers", "env provider list"}, {"oidc-clients", "env client list"}, {"agents", "directory agents list"},
	{"destinations", "audit destination list"}, {"events", "audit list"}, {"directories", "directory list"}, {"accounts", "account list"},
	{"requests", "request list"}, {"apikeys", "apikey list"}, {"members", "staff list"},
}

// lister names the command that shows what there is in place of what a path names.
func lister(path string) string {
	parts := strings.Split(path, "/")
	for _, l := range listers {
		if slices.Contains(parts, l.part) {
			return `"postern ` + l.command + `"`
		}
	}
	return `"postern env list"`
}

// environment returns the id of the environment that is meant: the one named, or the
// only one.
func (cl *client) environment(ctx context.Context, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	var list struct {
		Envs []struct{ ID, Name string }
	}
	if err := cl.do(ctx, "GET", "/api/envs", nil, &list); err != nil {
		return "", err
	}
	if len(list.Envs) == 1 {
		return list.Envs[0].ID, nil
	}
	lines := []string{"there are several environments; name one with --env:"}
	for _, e := range list.Envs {
		lines = append(lines, "  "+e.ID+"  "+e.Name)
	}
	if len(list.Envs) == 0 {
		lines = []string{"the key is for no environment"}
	}
	return "", errors.New(strings.Join(lines, "\n"))
}
