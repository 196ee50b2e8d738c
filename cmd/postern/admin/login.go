package admin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/nacl/box"

	"github.com/postern-id/postern/hub/terminal"
)

// Waiting for somebody to approve.
const (
	loginWithin = 10 * time.Minute
	loginEvery  = 2 * time.Second
	maxSealed   = 4 << 10 // of an answer
)

func authCommand(c *cobra.Command) {
	f := new(flags)
	f.on(c)
	var browse bool
	login := leaf("login", "Signs this command line in: you approve it in the console, with your passkey", `  postern auth login --server https://id.example.com
  postern auth login --no-browser      prints the address only`, cobra.NoArgs,
		func(c *cobra.Command, _ []string) error { return f.login(c, !browse) })
	login.Flags().BoolVar(&browse, "no-browser", false, "open no browser")
	group(c, login,
		leaf("status", "Says with which hub and as what this command line works", "  postern auth status", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error { return f.whoAmI(c) }),
		leaf("logout", "Forgets the key that this command line keeps", "  postern auth logout", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error { return f.logout(c) }),
	)
}

// login shows a key, waits until it is approved, and keeps the API key that comes back.
func (f *flags) login(c *cobra.Command, browse bool) error {
	server, err := f.loginServer()
	if err != nil {
		return err
	}
	if err := f.keeps(); err != nil {
		return err
	}
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	key := base64.RawURLEncoding.EncodeToString(public[:])
	page := server + "/cli/login/" + key
	_, _ = fmt.Fprintf(c.ErrOrStderr(), "Open this page and sign in with your passkey:\n\n  %s\n\nThen type this code there:\n\n  %s\n\nWaiting. Ctrl-C ends it.\n", page, terminal.Code(key))
	if browse {
		openBrowser(page)
	}
	ctx, cancel := context.WithTimeout(c.Context(), loginWithin)
	defer cancel()
	sealed, err := approved(ctx, server, key, loginEvery)
	if err != nil {
		return err
	}
	text, ok := box.OpenAnonymous(nil, sealed, public, private)
	if !ok {
		return errors.New("the hub's answer was not made for this command line; try again")
	}
	path, err := f.writeConfig(saved{Server: server, Key: string(text)})
	if err != nil {
		return err
	}
	return f.showKept(c, server, path, fmt.Sprintf("signed in; the key is in %s\n", path))
}

// showKept says with which hub this command line works, and which file says so.
func (f *flags) showKept(c *cobra.Command, server, path, text string) error {
	b, err := json.Marshal(map[string]string{"server": server, "client_config": path})
	if err != nil {
		return err
	}
	return f.show(c, b, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// loginServer finds the hub: there is no key yet.
func (f *flags) loginServer() (string, error) {
	server := first(f.server, os.Getenv(serverVariable))
	if server == "" {
		file, err := f.readConfig()
		if err != nil {
			return "", err
		}
		server = file.Server
	}
	server, ok := hubAddress(server)
	if !ok {
		return "", errors.New("which hub? Give --server, an address such as https://id.example.com")
	}
	return server, nil
}

// approved asks until the key was approved, and returns what was sealed to it. A hub that
// answered before may be away for a while: a node restarts, and another one knows as much.
func approved(ctx context.Context, server, key string, every time.Duration) ([]byte, error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	by := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for answered := false; ; {
		sealed, status, err := askApproved(ctx, by, server+"/api/cli/login/"+key)
		away := err != nil || status >= 500
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return nil, errors.New("nobody approved it in time; run this again when you are at the console")
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case away && answered:
		case err != nil:
			return nil, fmt.Errorf("the hub does not answer: %w", err)
		case status == http.StatusOK:
			return sealed, nil
		case status >= 300 && status != http.StatusTooManyRequests:
			return nil, fmt.Errorf("the hub answered %d %s; is this the address of its console?", status, http.StatusText(status))
		default:
			answered = true
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func askApproved(ctx context.Context, by *http.Client, address string) (sealed []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("User-Agent", userAgent())
	resp, err := by.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	sealed, err = io.ReadAll(io.LimitReader(resp.Body, maxSealed))
	return sealed, resp.StatusCode, err
}

// openBrowser tries; whoever has none reads the address.
func openBrowser(page string) {
	name, args := "xdg-open", []string{page}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", page}
	}
	if cmd := exec.Command(name, args...); cmd.Start() == nil {
		go func() { _ = cmd.Wait() }()
	}
}

// whoAmI says what the hub says of the key.
func (f *flags) whoAmI(c *cobra.Command) error {
	cl, err := f.client(c)
	if err != nil {
		return err
	}
	return f.send(c, cl, "GET", "/api/org", nil, func(w io.Writer, answer []byte) error {
		var org struct {
			Name, Role string
			Envs       []string
		}
		if err := json.Unmarshal(answer, &org); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "%s: %s, as %s, for %d environments\n", cl.server, org.Name, org.Role, len(org.Envs))
		return err
	})
}

// logout forgets the key; the hub's keeps working until it ends or is removed there.
func (f *flags) logout(c *cobra.Command) error {
	s, err := f.readConfig()
	if err != nil {
		return err
	}
	if s.Key == "" {
		return errors.New("this command line keeps no key")
	}
	path, err := f.writeConfig(saved{Server: s.Server})
	if err != nil {
		return err
	}
	return f.showKept(c, s.Server, path, "forgotten here; to end the key at the hub as well: \"postern apikey list\", \"postern apikey delete ID\"\n")
}
