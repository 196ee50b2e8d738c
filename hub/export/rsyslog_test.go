package export

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
)

// rsyslogConf has no queue between input and file: its queue is worked off by several
// threads, of which a later one may write first.
const rsyslogConf = `
global(workDirectory="%[1]s" maxMessageSize="64k" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="%[1]s/ca.pem"
	defaultNetstreamDriverCertFile="%[1]s/cert.pem" defaultNetstreamDriverKeyFile="%[1]s/key.pem")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
main_queue(queue.type="Direct")
input(type="imtcp" address="127.0.0.1" port="%[2]d")
template(name="line" type="string" string="%%HOSTNAME%% %%APP-NAME%% %%MSGID%% %%STRUCTURED-DATA%% %%msg%%\n")
action(type="omfile" file="%[1]s/out.log" template="line" flushOnTXEnd="on")
`

// rsyslog starts Debian's rsyslog with a certificate of the bench.
func (b *bench) rsyslog(t *testing.T, dir string, port int) *testenv.Child {
	t.Helper()
	return testenv.Start(t, testenv.Command{Path: testenv.Need(t, "rsyslogd"), Args: []string{"-n", "-f", filepath.Join(dir, "rsyslog.conf"), "-i", filepath.Join(dir, "pid")}, Dir: dir,
		Ready: func(ctx context.Context) error {
			d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it is asked whether it is there
			c, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err == nil {
				err = c.Close()
			}
			return err
		}})
}

func TestRsyslogThatIsRestartedGetsEveryEventInOrder(t *testing.T) {
	testenv.Need(t, "rsyslogd")
	if found, _ := filepath.Glob("/usr/lib/*/rsyslog/lmnsd_ossl.so"); len(found) == 0 {
		testenv.Missing(t, "rsyslog-openssl")
	}
	b := newBench(t, storetest.SQLite(t))
	dir, port := testenv.Dir(t), testenv.FreePort(t)
	cert, key, err := b.authority.Issue("collector.test")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"ca.pem": string(b.authority.PEM), "cert.pem": string(cert), "key.pem": string(key), "rsyslog.conf": fmt.Sprintf(rsyslogConf, dir, port)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := b.rsyslog(t, dir, port)
	id := b.add(t, b.settings(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), RFC5424))
	stop := b.run(t)
	defer stop()
	b.happens(t, audit.EnvUpdated, numbered(0, 100)...)
	testenv.Eventually(t, "the first are there", func() bool { return b.state(t, id).Sent == 100 })
	server.Stop()
	b.happens(t, audit.EnvUpdated, numbered(100, 500)...)
	testenv.Eventually(t, "it is missed", func() bool { return b.state(t, id).Failures > 0 })
	b.rsyslog(t, dir, port)
	testenv.Eventually(t, "all is sent", func() bool { b.hurry(t, id); return b.state(t, id).Sent == 500 })
	read := func() []string {
		out, err := os.ReadFile(filepath.Join(dir, "out.log"))
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, l := range strings.Split(string(out), "\n") {
			if strings.HasPrefix(l, "id.example.com postern ") {
				lines = append(lines, l)
			}
		}
		return lines
	}
	testenv.Eventually(t, "all is written", func() bool { return len(read()) >= 500 })
	lines := read()
	inOrder(t, lines, numbered(0, 500))
	if !strings.HasPrefix(lines[0], `id.example.com postern env_updated [postern@32473 id="`) {
		t.Error(lines[0])
	}
}
