package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/protocol/auditlog"
)

func auditCommand(c *cobra.Command) {
	f := new(flags)
	f.on(c)
	group(c, f.listAudit(), f.tailAudit(), f.proveAudit(), f.auditLeaves(), f.verifyAudit(), f.exportAudit(), f.destinationCommand())
}

// auditEvent is what is printed of an event; raw is all of it.
type auditEvent struct {
	ID        string
	Time      time.Time
	Kind      string
	Account   string
	Principal struct {
		Role      string
		OrgMember string `json:"org_member"`
		APIKey    string `json:"api_key"`
		Subject   string
		Agent     string
		System    string
	}
}

// by is who acted, in one word.
func (e auditEvent) by() string {
	p := e.Principal
	for _, who := range [][2]string{{"member", p.OrgMember}, {"key", p.APIKey}, {"agent", p.Agent}, {"system", p.System}, {"subject", p.Subject}, {"role", p.Role}} {
		if who[1] != "" {
			return who[0] + " " + who[1]
		}
	}
	return "-"
}

func (f *flags) listAudit() *cobra.Command {
	var account, trace, start, end, words, logKey string
	var kinds []string
	var count int
	var oldest, prove bool
	c := leaf("list", "Lists audit events, newest first", `  postern audit list --account 5f0c… --start 2026-01-01 --prove
  postern audit list --kind operation_requested --kind operation_finished`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		q := url.Values{"kind": kinds, "count": {strconv.Itoa(count)}, "reverse": {strconv.FormatBool(oldest)}}
		for name, v := range map[string]string{"start": start, "end": end, "env": f.env} {
			if v != "" {
				q.Set(name, v)
			}
		}
		for name, v := range map[string]string{"account:": account, "trace:": trace} {
			if v != "" {
				words += " " + name + v
			}
		}
		q.Set("query", strings.TrimSpace(words))
		return f.events(c, q, count, prove, logKey)
	})
	p := c.Flags()
	p.StringVar(&account, "account", "", "id of the account that events concern")
	p.StringVar(&trace, "trace", "", "id of the recovery or request that events belong to")
	p.StringVar(&start, "start", "", "date or time of the first event (default: 24 hours ago)")
	p.StringVar(&end, "end", "", "date or time before which events are")
	p.StringVar(&words, "query", "", "words that events contain")
	p.StringArrayVar(&kinds, "kind", nil, "kind of event; may be repeated")
	p.IntVar(&count, "count", 100, "how many events at most")
	p.BoolVar(&oldest, "oldest-first", false, "the other way round")
	p.BoolVar(&prove, "prove", false, "check on this machine that each event is in the signed log as it is listed")
	p.StringVar(&logKey, "log-key", "", "fingerprint of the log's key, as an agent's ticket pinned it (hex)")
	return c
}

// events prints pages of events until there are enough.
func (f *flags) events(c *cobra.Command, q url.Values, count int, prove bool, logKey string) error {
	cl, err := f.client(c)
	if err != nil {
		return err
	}
	pin, err := fingerprint(logKey)
	if err != nil {
		return err
	}
	q.Set("count", strconv.Itoa(min(count, 500)))
	rows := [][]string{{"TIME", "KIND", "ACCOUNT", "BY", "ID"}}
	if prove {
		rows[0] = append(rows[0], "PROVEN AS")
	}
	var last auditlog.Checkpoint
	for left := count; left > 0; {
		var page struct {
			Events  []json.RawMessage `json:"events"`
			Forward string            `json:"forward_cursor"`
		}
		if err := cl.do(c.Context(), "GET", "/api/audit?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		for _, raw := range page.Events[:min(len(page.Events), left)] {
			left--
			row, err := f.event(c, cl, raw, prove, pin, &last)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		if page.Forward == "" {
			break
		}
		q.Set("cursor", page.Forward)
	}
	if f.json {
		return nil
	}
	w := plain{c.OutOrStdout()}
	if err := table(w, rows); err != nil || !prove || last.Size == 0 {
		return err
	}
	_, err = fmt.Fprintf(w, "proven against the checkpoint of %d entries of %s, %s\n", last.Size, last.Time.Format(time.RFC3339), pinned(pin))
	return err
}

func pinned(pin []byte) string {
	if pin == nil {
		return "signed with the key that the hub names: give --log-key to check that it is the right one"
	}
	return "signed with the key of --log-key"
}

// event prints one event as JSON, or returns its row.
func (f *flags) event(c *cobra.Command, cl *client, raw json.RawMessage, prove bool, pin []byte, last *auditlog.Checkpoint) ([]string, error) {
	var e auditEvent
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	row := []string{e.Time.Format(time.RFC3339), e.Kind, first(e.Account, "-"), e.by(), e.ID}
	if prove {
		p, err := cl.proof(c.Context(), e.ID, pin, last)
		if err == nil && !tells(raw, p.Leaf) {
			err = errOtherwise
		}
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
		row = append(row, fmt.Sprintf("entry %d", p.Index))
	}
	if f.json {
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", raw)
		return nil, err
	}
	return row, nil
}

// errOtherwise says that the hub lists something else than it proved.
var errOtherwise = errors.New("the hub lists it otherwise than it stands in the signed log")

// tells reports whether an event is listed as its leaf tells it. A list has more: what is
// kept under a person's key, and the address that a member has now.
func tells(listed, leaf []byte) bool {
	var shown, signed map[string]any
	if json.Unmarshal(listed, &shown) != nil || json.Unmarshal(leaf, &signed) != nil {
		return false
	}
	if who, ok := shown["principal"].(map[string]any); ok {
		delete(who, "org_member_email")
	}
	more := []string{"personal"}
	if signed["personal"] != nil {
		more = append(more, "remote_addr", "user_agent")
	}
	for _, name := range more {
		delete(shown, name)
		delete(signed, name)
	}
	return reflect.DeepEqual(shown, signed)
}

// errOtherLeaf says that the hub proved something else than it was asked for.
var errOtherLeaf = errors.New("the hub proved another event than this one")

// proof fetches the proof of an event and checks all of it on this machine: also that the
// log is a continuation of last, which it moves on.
func (cl *client) proof(ctx context.Context, id string, pin []byte, last *auditlog.Checkpoint) (auditlog.Proof, error) {
	var p auditlog.Proof
	if err := cl.do(ctx, "GET", "/api/audit/events/"+url.PathEscape(id)+"/proof?from="+strconv.FormatInt(last.Size, 10), nil, &p); err != nil {
		return p, err
	}
	key := sha256.Sum256(p.Public)
	if pin != nil {
		copy(key[:], pin)
	}
	origin, _, _ := strings.Cut(p.Checkpoint, "\n")
	checkpoint, err := p.Check(key, origin, *last)
	if err != nil {
		return p, err
	}
	var leaf struct{ ID string }
	if err := json.Unmarshal(p.Leaf, &leaf); err != nil || leaf.ID != id {
		return p, errOtherLeaf
	}
	*last = checkpoint
	return p, nil
}

// fingerprint reads the fingerprint of a log's key; nil if none is given.
func fingerprint(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(b) != sha256.Size {
		return nil, errors.New("--log-key: want the 64 hexadecimal digits of a SHA-256")
	}
	return b, nil
}

func (f *flags) proveAudit() *cobra.Command {
	var logKey string
	c := leaf("proof EVENT", "Proves, checked on this machine, that an event is in the signed log", "  postern audit proof 01JD… --log-key 5f0c…", cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			pin, err := fingerprint(logKey)
			if err != nil {
				return err
			}
			cl, err := f.client(c)
			if err != nil {
				return err
			}
			var last auditlog.Checkpoint
			p, err := cl.proof(c.Context(), args[0], pin, &last)
			if err != nil {
				return err
			}
			answer, err := json.Marshal(p)
			if err != nil {
				return err
			}
			return f.show(c, answer, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s\nentry %d of %d, %s\n\n%s", p.Leaf, p.Index, last.Size, pinned(pin), p.Checkpoint)
				return err
			})
		})
	c.Flags().StringVar(&logKey, "log-key", "", "fingerprint of the log's key, as an agent's ticket pinned it (hex)")
	return c
}

func (f *flags) auditLeaves() *cobra.Command {
	var out string
	c := leaf("leaves", "Writes the whole log to a file for \"audit verify\"", "  postern audit leaves --out log.json", cobra.NoArgs, func(c *cobra.Command, _ []string) (err error) {
		cl, err := f.client(c)
		if err != nil {
			return err
		}
		w, done, err := output(c, out)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, done()) }()
		return cl.leaves(c.Context(), w)
	})
	c.Flags().StringVar(&out, "out", "", "file, made with mode 0600; standard output if empty")
	return c
}

// output is where --out says: a file that nobody else may read, also if it was there
// before, or standard output. The caller calls done when everything is written.
func output(c *cobra.Command, out string) (w io.Writer, done func() error, err error) {
	if out == "" {
		return c.OutOrStdout(), func() error { return nil }, nil
	}
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() { // a pipe keeps its own mode
		if err := file.Chmod(0o600); err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
	}
	return file, file.Close, nil
}

// leaves writes page after page, each on its line.
func (cl *client) leaves(ctx context.Context, w io.Writer) error {
	for from, more := int64(0), true; more; {
		var raw json.RawMessage
		if err := cl.do(ctx, "GET", "/api/audit/leaves?count=1000&from="+strconv.FormatInt(from, 10), nil, &raw); err != nil {
			return err
		}
		var page struct{ Next int64 }
		if err := json.Unmarshal(raw, &page); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s\n", raw); err != nil {
			return err
		}
		from, more = page.Next, page.Next > from
	}
	return nil
}

// errLog makes the command fail when the log is not what it should be.
var errLog = errors.New("the log is not what it should be, or not whole: see above")

func (f *flags) verifyAudit() *cobra.Command {
	var files []string
	var logKey string
	c := leaf("verify FILE", "Verifies a log that \"audit leaves\" wrote, without the hub", `  postern audit verify log.json --checkpoints /var/lib/postern-agent/checkpoints.jsonl --log-key 5f0c…`, cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			pin, err := fingerprint(logKey)
			if err != nil {
				return err
			}
			notes := map[string][]string{}
			for _, name := range files {
				if notes[name], err = checkpointsOf(name); err != nil {
					return err
				}
			}
			in, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = in.Close() }()
			report, err := auditlog.Verify(in, pin, notes)
			if err != nil {
				return err
			}
			answer, err := json.Marshal(report)
			if err != nil {
				return err
			}
			err = f.show(c, answer, func(w io.Writer) error { return printReport(w, report, pin) })
			if err == nil && len(report.Problems) > 0 {
				err = errLog
			}
			return err
		})
	c.Flags().StringArrayVar(&files, "checkpoints", nil, "file of checkpoints that an agent wrote; may be repeated")
	c.Flags().StringVar(&logKey, "log-key", "", "fingerprint of the log's key, as an agent's ticket pinned it (hex)")
	return c
}

func checkpointsOf(name string) ([]string, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	notes, err := auditlog.ReadCheckpoints(in)
	if err == nil && len(notes) == 0 {
		err = errors.New("it holds no checkpoint")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return notes, nil
}

func printReport(w io.Writer, r auditlog.Report, pin []byte) error {
	lines := []string{
		fmt.Sprintf("log        %s, key %x", r.Origin, r.Fingerprint),
		fmt.Sprintf("           %s", pinned(pin)),
		fmt.Sprintf("entries    %d: %d with their bytes, %d dropped by age, %d not for this key", r.Size, r.Bytes, min(r.Dropped, r.Size), r.Others),
		fmt.Sprintf("root       %s", r.Root),
		fmt.Sprintf("witnesses  %d checkpoints of agents agree", r.Checkpoints),
	}
	for _, p := range r.Problems {
		lines = append(lines, fmt.Sprintf("%-10s %s", strings.ToUpper(p.Kind), p.Text))
	}
	if len(r.Problems) == 0 {
		lines = append(lines, "whole")
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}
