package ldapconn

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postern-id/postern/protocol"
)

// Patience with one of several servers.
const (
	breakFirst  = time.Second            // a server that failed is left alone for so long, twice as long each time,
	breakLast   = time.Minute            // up to this: then somebody has repaired it, or one more try costs little
	headStart   = 2 * time.Second        // for a server to let us in before the next one is tried beside it
	headStartIf = 200 * time.Millisecond // the same for a server that failed last time
	returnAfter = time.Minute            // on a server of the second choice; then the first choice is tried again
	srvLife     = 5 * time.Minute        // of an answer of DNS: controllers come and go in weeks
	srvTimeout  = 5 * time.Second
	maxServers  = 64 // of one answer; a domain with more controllers has sites
)

// A roster is the list of servers in the order of preference, each with a circuit
// breaker: a server that is down or slow costs a moment once and not at each request.
type roster struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	members []*member
	looked  time.Time // when DNS was asked last
}

// A member is one server. Its fields but the server are guarded by roster.mu.
type member struct {
	server
	rank     int  // servers of one rank are as good as one another
	found    bool // by DNS
	failures int  // one after the other
	until    time.Time
}

func newRoster(cfg Config, log *slog.Logger) (*roster, error) {
	r := &roster{cfg: cfg, log: log}
	if len(cfg.URLs) == 0 && len(cfg.SRV) == 0 {
		return nil, configuration("urls names no server; want urls = [\"ldaps://dc1.example.com\"]")
	}
	for i, u := range cfg.URLs {
		s, err := cfg.server(u)
		if err != nil {
			return nil, err
		}
		r.members = append(r.members, &member{server: s, rank: i})
	}
	for _, name := range cfg.SRV {
		if name == "" || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c == '/' || c > '~' }) {
			return nil, configuration("this is no name of an SRV record: " + strconv.Quote(name))
		}
	}
	if len(cfg.SRV) > 0 && cfg.Plain {
		return nil, configuration("servers that DNS names are never asked without encryption; remove plain")
	}
	return r, nil
}

// order returns the servers to try: those that work in the order of preference, and
// after them those that failed lately, the one first that may be tried soonest. It asks
// DNS where an answer is too old.
func (r *roster) order(ctx context.Context) ([]*member, error) {
	err := r.refresh(ctx)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.members) == 0 {
		return nil, err
	}
	tries := slices.Clone(r.members)
	slices.SortStableFunc(tries, func(a, b *member) int {
		x, y := a.until, b.until
		if !x.After(now) {
			x = time.Time{}
		}
		if !y.After(now) {
			y = time.Time{}
		}
		return x.Compare(y)
	})
	return tries, nil
}

// failed opens the breaker of a server.
func (r *roster) failed(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := breakLast
	if m.failures < 6 {
		wait = min(breakFirst<<m.failures, breakLast)
	}
	m.failures++
	m.until = time.Now().Add(wait)
	r.looked = earlier(r.looked, time.Now().Add(srvTimeout-srvLife)) // DNS may know of another one by now
}

// earlier is the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// answered closes the breaker of a server.
func (r *roster) answered(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.failures > 0 {
		r.log.Info("directory server answers again", "server", m.url)
	}
	m.failures, m.until = 0, time.Time{}
}

// grace is how long a server may take before the next one is tried beside it.
func (r *roster) grace(m *member) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.failures > 0 {
		return headStartIf
	}
	return headStart
}

// better reports whether a server of a better rank may be tried now.
func (r *roster) better(than *member) bool {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.members, func(m *member) bool { return m.rank < than.rank && !m.until.After(now) })
}

func (r *roster) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.members)
}

func (r *roster) empty() bool { return r.size() == 0 }

// byURL finds a server that a former Conn.Server named, nil if it is not listed.
func (r *roster) byURL(url string) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m.url == url {
			return m
		}
	}
	return nil
}

// byHost finds the server with a host name, "" if there is none.
func (r *roster) byHost(host string) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if h, _, err := net.SplitHostPort(m.addr); err == nil && strings.EqualFold(h, strings.TrimSuffix(host, ".")) {
			return m
		}
	}
	return nil
}

// refresh asks DNS for servers, if it should and the last answer is old. Servers of a
// former answer stay while DNS is silent.
func (r *roster) refresh(ctx context.Context) error {
	r.mu.Lock()
	due := len(r.cfg.SRV) > 0 && time.Since(r.looked) > srvLife
	r.mu.Unlock()
	if !due {
		return nil
	}
	found, err := r.lookUp(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.log.Warn("DNS names no directory servers", "error", err)
		if len(r.members) > 0 && ctx.Err() == nil {
			r.looked = time.Now().Add(srvTimeout - srvLife) // soon again, but not at each request
		}
		return err
	}
	r.looked = time.Now()
	r.adopt(found)
	return nil
}

// adopt replaces the servers that DNS named before, and keeps what is known of those
// that it names again.
func (r *roster) adopt(found []*member) {
	kept := slices.DeleteFunc(slices.Clone(r.members), func(m *member) bool { return m.found })
	for _, m := range found {
		if i := slices.IndexFunc(r.members, func(o *member) bool { return o.url == m.url }); i >= 0 {
			old := r.members[i]
			if !old.found {
				continue // named in urls, too
			}
			old.rank = m.rank
			m = old
		}
		kept = append(kept, m)
	}
	r.members = kept
}

// lookUp asks for the SRV records, of the first name that has some.
func (r *roster) lookUp(ctx context.Context) ([]*member, error) {
	ctx, cancel := context.WithTimeout(ctx, srvTimeout)
	defer cancel()
	resolver := r.cfg.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	var silent error
	for _, name := range r.cfg.SRV {
		_, records, err := resolver.LookupSRV(ctx, "", "", strings.TrimSuffix(name, ".")+".")
		var dns *net.DNSError
		switch {
		case len(records) > 0: // beside an error, if some of them are malformed
			return r.serversOf(name, records[:min(len(records), maxServers)])
		case err != nil && !(errors.As(err, &dns) && dns.IsNotFound):
			silent = err
		}
	}
	names := strings.Join(r.cfg.SRV, ", ")
	if silent != nil {
		return nil, &failure{protocol.Err(protocol.CodeUnavailable, "DNS does not answer for "+names+": "+silent.Error()), silent, false}
	}
	return nil, configuration("DNS has no SRV record " + names + "; name the servers in urls, or look at the name of the domain and at the name servers of this machine")
}

// serversOf turns SRV records, in the order in which the resolver put them, into servers.
func (r *roster) serversOf(name string, records []*net.SRV) ([]*member, error) {
	var all []*member
	for _, rec := range records {
		s, err := r.cfg.server(r.cfg.urlOf(name, rec))
		if err != nil {
			return nil, err
		}
		all = append(all, &member{server: s, rank: len(r.cfg.URLs) + int(rec.Priority), found: true})
	}
	return all, nil
}

// ldapPort and ldapsPort are those of RFC 4511 and of LDAP over TLS. Directories register
// the first alone.
const (
	ldapPort  = 389
	ldapsPort = 636
)

// urlOf is the address of a server that DNS named: encrypted in the configured way.
func (cfg Config) urlOf(name string, rec *net.SRV) string {
	scheme, port := "ldaps", int(rec.Port)
	switch {
	case cfg.StartTLS:
		scheme = "ldap"
	case port == ldapPort && !strings.HasPrefix(strings.ToLower(name), "_ldaps."):
		port = ldapsPort
	}
	return scheme + "://" + net.JoinHostPort(strings.TrimSuffix(rec.Target, "."), strconv.Itoa(port))
}
