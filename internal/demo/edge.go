package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// caddyfile is the whole edge of the demo: console, API and agents at localhost, the
// mailbox, the wallet, and every other name as a recovery domain, with keys for computers
// that have none. The default logger stays where it
// was, since Caddy says aloud that it was moved; the file has every line.
const caddyfile = `{
	admin off
	persist_config off
	auto_https off
	default_bind 127.0.0.1
	storage file_system %[1]q
	log default {
		output stderr
		level PANIC
	}
	log edge {
		output file %[2]q
		format json
	}
	postern {
		data_dir %[3]q
		public_url http://localhost:%[4]d
		recovery_option_wait 0s
		wallet_link http://wallet.localhost:%[4]d/open
		smtp %[5]s {
			from recovery@lindenhof.example
			tls off
		}
	}
}
http://localhost:%[4]d {
	postern
}
http://mailbox.localhost:%[4]d {
	reverse_proxy %[6]s
}
http://wallet.localhost:%[4]d {
	reverse_proxy %[7]s
}
http://:%[4]d {
	@keys {
		path_regexp ^/static/[0-9a-f]+/passkey\.js$
		not query real=*
	}
	handle @keys {
		rewrite * /demo/passkey.js
		reverse_proxy %[7]s
	}
	handle /demo/* {
		reverse_proxy %[7]s
	}
	handle {
		postern_site
	}
}
`

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// startEdge loads Caddy in this process and waits until it is ready.
func (r *run) startEdge(ctx context.Context) error {
	if err := portIsFree(r.HTTPPort); err != nil {
		return err
	}
	text := fmt.Sprintf(caddyfile, r.DataDir+"/caddy", r.DataDir+"/edge.log", r.DataDir, r.HTTPPort, r.mail.Addr(), r.page.addr(), r.pocket.addr())
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return fmt.Errorf("demo configuration: %w", err)
	}
	r.caddy = true
	if err := caddy.Load(cfg, true); err != nil {
		return fmt.Errorf("starting the edge: %w", err)
	}
	if err := r.poll(ctx, func() (bool, error) { return r.call(ctx, http.MethodGet, "/readyz", nil, nil) == nil, nil }); err != nil {
		return err
	}
	if err := r.call(ctx, http.MethodPost, "/api/envs/"+r.desc.Env+"/domains", map[string]string{"name": siteHost}, nil); err != nil {
		r.log.Info("domain is registered already", "answer", err.Error())
	}
	return r.poll(ctx, r.siteAnswers(ctx))
}

func portIsFree(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("port %d is taken: name another one with --http-port", port)
	}
	return l.Close()
}

// siteAnswers asks for the first page as a browser would, at the loopback address.
func (r *run) siteAnswers(ctx context.Context) func() (bool, error) {
	return func() (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", r.HTTPPort), nil)
		if err != nil {
			return false, err
		}
		req.Host = fmt.Sprintf("%s:%d", siteHost, r.HTTPPort)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, nil
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	}
}

// poll asks ready every 50 ms until it says yes.
func (r *run) poll(ctx context.Context, ready func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer within %v: %w", startTimeout, ctx.Err())
		case <-tick.C:
		}
	}
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// call asks the REST API with the owner's key.
func (r *run) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.hubURL()+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+r.desc.APIKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}
