package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-id/postern/hub/export"
)

// exportPage is how many events one request asks for; the API gives no more.
const exportPage = "500"

func (f *flags) exportAudit() *cobra.Command {
	var format, start, end, out string
	var kinds []string
	c := leaf("export", "Writes audit events to a file, oldest first, as collectors read them",
		"  postern audit export --format ocsf --start 2026-05-01 --end 2026-06-01 --out may.jsonl", cobra.NoArgs,
		func(c *cobra.Command, _ []string) (err error) {
			cl, err := f.client(c)
			if err != nil {
				return err
			}
			q := url.Values{"kind": kinds, "count": {exportPage}, "reverse": {"true"}}
			for name, v := range map[string]string{"start": start, "end": end, "env": f.env} {
				if v != "" {
					q.Set(name, v)
				}
			}
			w, done, err := output(c, out)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, done()) }()
			lines := bufio.NewWriter(w)
			if err := cl.export(c, q, export.Format(format), lines); err != nil {
				return err
			}
			return lines.Flush()
		})
	p := c.Flags()
	p.StringVar(&format, "format", string(export.JSONLines), "jsonl, rfc5424, cef or ocsf")
	p.StringVar(&start, "start", "", "date or time of the first event (default: 24 hours ago)")
	p.StringVar(&end, "end", "", "date or time before which events are")
	p.StringArrayVar(&kinds, "kind", nil, "only events of this kind; may be repeated")
	p.StringVar(&out, "out", "", "file, made with mode 0600; standard output if empty")
	return c
}

// export writes page after page, an event on each line.
func (cl *client) export(c *cobra.Command, q url.Values, format export.Format, w io.Writer) error {
	host := cl.server
	if u, err := url.Parse(cl.server); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	for {
		var page struct {
			Events  []json.RawMessage `json:"events"`
			Forward string            `json:"forward_cursor"`
		}
		if err := cl.do(c.Context(), "GET", "/api/audit?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		for _, raw := range page.Events {
			e, err := export.Parse(raw)
			if err != nil {
				return err
			}
			line, err := e.Line(format, host)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "%s\n", line); err != nil {
				return err
			}
		}
		if page.Forward == "" || len(page.Events) == 0 {
			return nil
		}
		q.Set("cursor", page.Forward)
	}
}

// auditDestination is a collector as it is listed.
type auditDestination struct {
	ID, Name, URL, Format string
	Sent, Dropped         int64
	LastError             string    `json:"last_error"`
	LastSentAt            time.Time `json:"last_sent_at"`
}

// destinationCommand manages the collectors that the audit log is sent to.
func (f *flags) destinationCommand() *cobra.Command {
	c := &cobra.Command{Use: "destination", Short: "Has the audit log sent to collectors"}
	const path = "/api/audit/destinations"
	one := func(id string) string { return path + "/" + url.PathEscape(id) }
	group(c,
		leaf("list", "Lists collectors, and how much they got", "  postern audit destination list", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error { return f.ask(c, "GET", path, nil, printDestinations) }),
		leaf("add FILE", `Reads a collector from a JSON file, "-" for standard input`, "  postern audit destination add siem.json", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				body, err := readSettings(c, args[0])
				if err != nil {
					return err
				}
				return f.ask(c, "POST", path, body, indented)
			}),
		leaf("replace ID FILE", "Sets everything anew, secrets included; it goes on where it was", "  postern audit destination replace ID siem.json", cobra.ExactArgs(2),
			func(c *cobra.Command, args []string) error {
				body, err := readSettings(c, args[1])
				if err != nil {
					return err
				}
				return f.decide(c, "PATCH", one(args[0]), body)
			}),
		leaf("remove ID", "Ends the sending", "  postern audit destination remove ID", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.decide(c, "DELETE", one(args[0]), nil) }),
		leaf("test ID", "Sends one marked event now, and says what happened", "  postern audit destination test ID", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.testDestination(c, one(args[0])+"/test") }),
	)
	return c
}

// errNotTaken makes the command fail.
var errNotTaken = errors.New("the collector did not take the test event")

func (f *flags) testDestination(c *cobra.Command, path string) error {
	cl, err := f.client(c)
	if err != nil {
		return err
	}
	var got struct {
		Taken bool
		Error string
		Took  int64 `json:"took_ms"`
	}
	err = f.sendTest(c, cl, path, nil, &got, func(w io.Writer) error {
		say := fmt.Sprintf("taken in %d ms", got.Took)
		if !got.Taken {
			say = "not taken: " + got.Error
		}
		_, err := fmt.Fprintln(w, say)
		return err
	})
	if err == nil && !got.Taken {
		err = errNotTaken
	}
	return err
}

func printDestinations(w io.Writer, answer []byte) error {
	var list []auditDestination
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	rows := [][]string{{"NAME", "FORMAT", "SENT", "DROPPED", "LAST SENT", "ID", "URL", "FAILING"}}
	for _, d := range list {
		last := "-"
		if !d.LastSentAt.IsZero() {
			last = d.LastSentAt.Local().Format(time.DateTime)
		}
		rows = append(rows, []string{d.Name, d.Format, strconv.FormatInt(d.Sent, 10), strconv.FormatInt(d.Dropped, 10), last, d.ID, d.URL, first(d.LastError, "-")})
	}
	return table(w, rows)
}
