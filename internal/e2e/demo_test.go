package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/demo"
	"github.com/postern-id/postern/internal/testenv"
)

// A company is a running demo.
type company struct {
	Site, Console, Mailbox, Approver, Hub, Env, Directory string
	APIKey                                                string `json:"api_key"`
	Accounts                                              []struct{ Email, Name, Personal string }

	dir  string
	port string
}

// startDemo runs "postern demo --json" in a folder of its own.
func startDemo(t *testing.T) company {
	t.Helper()
	dir := testenv.Dir(t)
	port := fmt.Sprint(testenv.FreePort(t))
	line := firstLine(t, exec.Command(programs.postern, "demo", "--json", "--http-port", port, "--data-dir", dir))
	c := company{dir: dir, port: port}
	if err := json.Unmarshal([]byte(line), &c); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return c
}

// code waits for a mail to address and returns the code in it.
func (c company) code(t *testing.T, address string, after int) string {
	t.Helper()
	digits := regexp.MustCompile(`\b(\d{4}) ?(\d{4})\b`)
	var found string
	poll(t, "a mail with a code", func() bool {
		mails := c.mails(t, address)
		if len(mails) <= after {
			return false
		}
		if m := digits.FindStringSubmatch(mails[0]); m != nil {
			found = m[1] + m[2]
		}
		return found != ""
	})
	return found
}

// mails are the texts of the mails to address, the newest first.
func (c company) mails(t *testing.T, address string) (texts []string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+c.port+"/messages.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "mailbox.localhost:" + c.port
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all []struct {
		To   []string
		Text string
	}
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if strings.Contains(strings.Join(m.To, " "), address) {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// bind signs in to the demo's directory and returns why not.
func (c company) bind(t *testing.T, dn, password string) error {
	t.Helper()
	cfg, err := os.ReadFile(filepath.Join(c.dir, "agent", "agent.toml"))
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`listen = "([^"]+)"`).FindStringSubmatch(string(cfg))[1]
	ca, err := os.ReadFile(filepath.Join(c.dir, "agent", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	conn, err := ldap.DialURL("ldaps://"+address, ldap.DialWithTLSConfig(&tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.Bind(dn, password)
}

// employee returns the demo's account with a note that contains text, or the first plain one.
func employee(t *testing.T, note string) demo.Account {
	t.Helper()
	for _, a := range demo.Accounts() {
		if a.PersonalEmail != "" && (note == "" && a.Note == "" || note != "" && strings.Contains(a.Note, note)) {
			return a
		}
	}
	t.Fatalf("nobody whose note says %q", note)
	return demo.Account{}
}

// What the text for people says of each sample address is what happens there.
func TestTheDemoSaysTruthfullyWhomACodeReaches(t *testing.T) {
	c := startDemo(t)
	port, err := strconv.Atoi(c.port)
	if err != nil {
		t.Fatal(err)
	}
	begin := func(email string) {
		v := newVisitor(t, c.Site, port)
		v.begin(email, "password")
		if !strings.Contains(v.page, `id="code"`) {
			t.Errorf("%s: %s", email, v.text())
		}
	}
	begin(demo.SharedAddress)
	for _, a := range demo.Accounts() {
		begin(a.Email)
	}
	reached := 0
	for _, a := range demo.Accounts() {
		if a.PersonalEmail != "" && !strings.Contains(a.Note, ": no code comes") {
			c.code(t, a.PersonalEmail, 0)
			reached++
		}
	}
	if n := len(c.mails(t, "@")); n != reached { // each of them has one, nobody else any
		t.Errorf("%d mails, want %d", n, reached)
	}
}

func TestTheDemoWritesItsTextAndNothingElse(t *testing.T) {
	cmd := exec.Command(programs.postern, "demo", "--http-port", fmt.Sprint(testenv.FreePort(t)), "--data-dir", testenv.Dir(t))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Ctrl-C") {
		text.WriteString(lines.Text() + "\n")
	}
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v, standard error: %s", err, stderr.String())
	}
	for _, a := range demo.Accounts() {
		if a.PersonalEmail != "" && !strings.Contains(text.String(), a.Note) {
			t.Errorf("nothing of %s (%s) in\n%s", a.Email, a.Note, text.String())
		}
	}
}

func TestAnEmployeeOfTheDemoGetsATemporaryPasswordThatWorksOnce(t *testing.T) {
	c := startDemo(t)
	who := employee(t, "")
	if err := c.bind(t, who.DN, demo.InitialPassword); err != nil {
		t.Fatalf("before: %v", err)
	}
	b := testenv.Chromium(t)
	j := newJourney(t, b, c.Site)
	j.start(who.Email, "password")
	j.prove(c.code(t, who.PersonalEmail, 0))
	b.Reload() // in the middle: it goes on, and the key stays
	secret := j.reset()
	if err := c.bind(t, who.DN, secret); err != nil {
		t.Errorf("the temporary password does not sign in: %v", err)
	}
	if err := c.bind(t, who.DN, demo.InitialPassword); err == nil {
		t.Error("the old password still signs in")
	}
	j.pressAgain()
	if err := c.bind(t, who.DN, secret); err != nil {
		t.Errorf("a second press reset again: %v", err)
	}
}
