package domain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// txtLabel stands before the domain in the name of the TXT record.
const txtLabel = "_postern."

// Limits of one question.
const (
	answerWithin = 3 * time.Second // a resolver that takes longer is as good as gone
	udpSize      = 1232            // no fragments, see dnsflagday.net/2020
	longestChain = 8               // CNAMEs that are followed
)

// errNoAnswer is wrapped where no resolver gave a usable answer.
var errNoAnswer = errors.New("no name server answered")

// systemResolvers is where Unix systems list theirs.
const systemResolvers = "/etc/resolv.conf"

// prove returns nil if one of the two records is there. The error says what was found
// instead; it wraps errNoAnswer if nothing is known.
func prove(ctx context.Context, resolvers []string, name string, p Proof) error {
	if strings.HasSuffix(name, ".localhost") {
		return nil // RFC 6761, section 6.3: it leads to this machine, whatever a DNS says
	}
	if len(resolvers) == 0 {
		conf, err := dns.ClientConfigFromFile(systemResolvers)
		if err != nil {
			return fmt.Errorf("%w: set the option resolvers: %w", errNoAnswer, err)
		}
		for _, s := range conf.Servers {
			resolvers = append(resolvers, net.JoinHostPort(s, conf.Port))
		}
	}
	errCNAME := proveCNAME(ctx, resolvers, name, p)
	if errCNAME == nil {
		return nil
	}
	errTXT := proveTXT(ctx, resolvers, p)
	if errTXT == nil {
		return nil
	}
	if errors.Is(errCNAME, errNoAnswer) {
		return errCNAME
	}
	return fmt.Errorf("%w; %w", errCNAME, errTXT)
}

// proveCNAME follows the domain's CNAMEs to the environment's name.
func proveCNAME(ctx context.Context, resolvers []string, name string, p Proof) error {
	if p.CNAME == "" {
		return errors.New("this hub has no cname_target")
	}
	reply, err := ask(ctx, resolvers, name, dns.TypeA)
	if err != nil {
		return err
	}
	next := map[string]string{}
	for _, rr := range reply.Answer {
		if c, ok := rr.(*dns.CNAME); ok {
			next[bare(c.Hdr.Name)] = bare(c.Target)
		}
	}
	at := name
	for range longestChain {
		target, ok := next[at]
		if !ok {
			break
		}
		if target == bare(p.CNAME) {
			return nil
		}
		at = target
	}
	if at == name {
		return fmt.Errorf("%s has no CNAME to %s", name, p.CNAME)
	}
	return fmt.Errorf("%s has a CNAME to %s, not to %s", name, next[name], p.CNAME)
}

// proveTXT looks for the token.
func proveTXT(ctx context.Context, resolvers []string, p Proof) error {
	reply, err := ask(ctx, resolvers, p.TXTName, dns.TypeTXT)
	if err != nil {
		return err
	}
	for _, rr := range reply.Answer {
		if t, ok := rr.(*dns.TXT); ok && p.TXTValue != "" && strings.TrimSpace(strings.Join(t.Txt, "")) == p.TXTValue {
			return nil
		}
	}
	return fmt.Errorf("%s has no TXT record with the domain's token", p.TXTName)
}

// ask puts a question to the resolvers in turn until one answers that it knows.
func ask(ctx context.Context, resolvers []string, name string, kind uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	q.SetEdns0(udpSize, false)
	var last error
	for _, r := range resolvers {
		reply, err := exchange(ctx, q, r)
		if err == nil && (reply.Rcode == dns.RcodeSuccess || reply.Rcode == dns.RcodeNameError) {
			return reply, nil
		}
		if err == nil {
			err = fmt.Errorf("%s answered %s", r, dns.RcodeToString[reply.Rcode])
		}
		last = err
	}
	return nil, fmt.Errorf("%w for %s: %w", errNoAnswer, name, last)
}

// exchange asks one resolver, over TCP if the answer does not fit into a datagram.
func exchange(ctx context.Context, q *dns.Msg, resolver string) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	reply, _, err := new(dns.Client).ExchangeContext(ctx, q, resolver)
	if err == nil && reply.Truncated {
		reply, _, err = (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, q, resolver)
	}
	return reply, err
}

// bare returns a name in lower case without its final dot.
func bare(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
