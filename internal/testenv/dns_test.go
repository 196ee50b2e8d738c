package testenv

import (
	"context"
	"net"
	"slices"
	"testing"
)

// resolver asks the test's name server.
func resolver(d *DNS) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, d.Addr)
	}}
}

func TestDNSAnswersWhatTheTestSetsAtOnce(t *testing.T) {
	d := StartDNS(t)
	r := resolver(d)
	d.Set(t, "edge.test", "A 127.0.0.9", "AAAA ::9")
	d.Set(t, "recover.customer.test", "CNAME edge.test")
	d.Set(t, "_postern.customer.test", `TXT "one text"`, `TXT "another"`)
	addrs, err := r.LookupHost(t.Context(), "recover.customer.test.")
	if err != nil || !slices.Contains(addrs, "127.0.0.9") || !slices.Contains(addrs, "::9") {
		t.Errorf("a CNAME leads to %v, %v", addrs, err)
	}
	if c, err := r.LookupCNAME(t.Context(), "recover.customer.test."); err != nil || c != "edge.test." {
		t.Errorf("CNAME %q, %v", c, err)
	}
	if txt, err := r.LookupTXT(t.Context(), "_postern.customer.test."); err != nil || !slices.Contains(txt, "another") {
		t.Errorf("TXT %q, %v", txt, err)
	}
	d.Set(t, "recover.customer.test")
	if addrs, err := r.LookupHost(t.Context(), "recover.customer.test."); err == nil {
		t.Errorf("a removed name still leads to %v", addrs)
	}
	d.Break(true)
	if _, err := r.LookupHost(t.Context(), "edge.test."); err == nil {
		t.Error("a broken server answers")
	}
	if d.Asked("edge.test") == 0 {
		t.Error("questions are not counted")
	}
}

func TestACMEAnswersAndCountsOrders(t *testing.T) {
	a := StartACME(t, StartDNS(t), FreePort(t), FreePort(t))
	if a.Roots == nil || a.Directory == "" || a.Orders(t) != 0 {
		t.Errorf("%+v with %d orders", a, a.Orders(t))
	}
}
