package testenv

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// A DNS is a name server in the test process, on UDP and TCP of one loopback port. It
// answers for every name: with its records, which tests may change at any time, with
// NXDOMAIN where there are none, and follows CNAMEs as a recursive server does.
type DNS struct {
	Addr string // host:port

	mu      sync.Mutex
	records map[string][]dns.RR // by name, lower case, with the final dot
	broken  bool
	asked   map[string]int
}

// dnsTTL is the life of every record: tests change them and look again at once.
const dnsTTL = 0

// longestChain bounds how many CNAMEs an answer follows.
const longestChain = 8

// StartDNS starts a name server, which ends with the test.
func StartDNS(t testing.TB) *DNS {
	t.Helper()
	return StartDNSAt(t, fmt.Sprintf("127.0.0.1:%d", FreePort(t)))
}

// StartDNSAt is StartDNS at an address, for programs that ask port 53.
func StartDNSAt(t testing.TB, addr string) *DNS {
	t.Helper()
	d := &DNS{Addr: addr, records: map[string][]dns.RR{}, asked: map[string]int{}}
	udp, err := net.ListenPacket("udp", d.Addr)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", d.Addr)
	if err != nil {
		t.Fatal(err)
	}
	servers := []*dns.Server{{PacketConn: udp, Handler: d}, {Listener: tcp, Handler: d}}
	var wg sync.WaitGroup
	for _, s := range servers {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		wg.Go(func() { _ = s.ActivateAndServe() })
		<-up
	}
	t.Cleanup(func() {
		for _, s := range servers {
			_ = s.Shutdown()
		}
		wg.Wait()
	})
	return d
}

// Set gives a name its records, in place of former ones: "A 127.0.0.1", "CNAME
// edge.test", "TXT \"some text\"". None: the name does not exist.
func (d *DNS) Set(t testing.TB, name string, records ...string) {
	t.Helper()
	name = dns.Fqdn(strings.ToLower(name))
	var rrs []dns.RR
	for _, r := range records {
		rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s", name, dnsTTL, r))
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := rr.(*dns.CNAME); ok {
			c.Target = dns.Fqdn(c.Target)
		}
		rrs = append(rrs, rr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.records, name)
	if len(rrs) > 0 {
		d.records[name] = rrs
	}
}

// Break makes the server answer SERVFAIL to everything, or no longer.
func (d *DNS) Break(broken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = broken
}

// Asked returns how often a name was asked for.
func (d *DNS) Asked(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[dns.Fqdn(strings.ToLower(name))]
}

// ServeDNS implements dns.Handler.
func (d *DNS) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	reply := new(dns.Msg).SetReply(req)
	reply.RecursionAvailable = true
	if len(req.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
	} else {
		d.answer(reply, strings.ToLower(req.Question[0].Name), req.Question[0].Qtype)
	}
	_ = w.WriteMsg(reply) // the client may be gone
}

func (d *DNS) answer(reply *dns.Msg, name string, kind uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[name]++
	if d.broken {
		reply.Rcode = dns.RcodeServerFailure
		return
	}
	for range longestChain {
		rrs, ok := d.records[name]
		if !ok {
			reply.Rcode = dns.RcodeNameError
			return
		}
		next := ""
		for _, rr := range rrs {
			c, isCNAME := rr.(*dns.CNAME)
			if isCNAME || rr.Header().Rrtype == kind {
				reply.Answer = append(reply.Answer, rr)
			}
			if isCNAME && kind != dns.TypeCNAME {
				next = strings.ToLower(c.Target)
			}
		}
		if next == "" {
			return
		}
		name = next
	}
}
