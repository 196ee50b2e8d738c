package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// directoryOut is what the API says of a directory, as far as people are shown it.
type directoryOut struct {
	ID, Env, Kind, Name string
	Count               int
	SyncRunning         bool      `json:"sync_running"`
	Started             time.Time `json:"last_sync_started_at"`
	Completed           time.Time `json:"last_sync_completed_at"`
	Error               string    `json:"last_sync_error"`
	Sync                struct {
		Listed, Expected int
		Question         *struct {
			Reason      string
			Missing, Of int
		}
	}
}

// state says in a few words how the synchronisation of the directory is.
func (d directoryOut) state() string {
	switch q := d.Sync.Question; {
	case q != nil:
		return fmt.Sprintf("waits for a confirmation: %s (%d of %d accounts would go)", q.Reason, q.Missing, q.Of)
	case d.SyncRunning:
		return "running, " + strconv.Itoa(d.Sync.Listed) + " listed"
	case d.Error != "":
		return "failed: " + d.Error
	case d.Completed.IsZero():
		return "never"
	}
	return "done " + d.Completed.Local().Format(time.DateTime)
}

func directoryCommand(c *cobra.Command) {
	f := new(flags)
	f.on(c)
	c.Aliases = []string{"dir"}
	group(c, f.createDirectory(), publishedAgent(f),
		leaf("list", "Lists directories", "  postern directory list", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error { return f.directories(c) }),
		leaf("get ID", "Shows one directory with its policies, as JSON", "  postern directory get 5f0c…", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.getDirectory(c, args[0]) }),
		leaf("set ID FILE", `Changes policies and limits to what a JSON file says, "-" for standard input`,
			"  postern directory set 5f0c… policies.json", cobra.ExactArgs(2),
			func(c *cobra.Command, args []string) error {
				body, err := readSettings(c, args[1])
				if err != nil {
					return err
				}
				return f.decide(c, "PATCH", directoryPath(args[0]), body)
			}),
		f.removal("delete ID", "Removes a directory with its accounts and agents", "directory delete", directoryPath),
		f.syncDirectory(), f.ticket(), f.agents(), f.resetOptions(), f.evaluate(),
	)
}

func directoryPath(id string) string { return "/api/directories/" + url.PathEscape(id) }

func (f *flags) createDirectory() *cobra.Command {
	var kind, name string
	c := leaf("create", "Makes a directory, for which an agent can then be enrolled", `  postern directory create --kind ad --name "Head office"
  postern directory create --kind custom     for an agent of the public protocol; prints its token`, cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			cl, err := f.client(c)
			if err != nil {
				return err
			}
			env, err := cl.environment(c.Context(), f.env)
			if err != nil {
				return err
			}
			var answer json.RawMessage
			body := map[string]string{"env": env, "kind": kind}
			if name != "" {
				body["name"] = name
			}
			if err := cl.do(c.Context(), "POST", "/api/directories", body, &answer); err != nil {
				return err
			}
			return f.show(c, answer, func(w io.Writer) error { return printCreated(w, answer) })
		})
	c.Flags().StringVar(&kind, "kind", "agent", "what the agent serves: ad, ldap, command, demo, agent (whatever it says), or custom")
	c.Flags().StringVar(&name, "name", "", "name that employees choose by")
	return c
}

func printCreated(w io.Writer, answer []byte) error {
	var made struct {
		ID    string
		Token string `json:"agent_token"`
	}
	if err := json.Unmarshal(answer, &made); err != nil {
		return err
	}
	if made.Token != "" {
		_, err := fmt.Fprintf(w, "directory %s\ntoken for the agent (shown this once): %s\n"+
			"such an agent tells of no second address, so a mailed code cannot be completed here; see docs/directories.md\n", made.ID, made.Token)
		return err
	}
	_, err := fmt.Fprintf(w, "directory %s\nnext, a ticket for its agent: postern directory ticket %s\n", made.ID, made.ID)
	return err
}

func (f *flags) directories(c *cobra.Command) error {
	path := "/api/directories"
	if f.env != "" {
		path += "?env=" + url.QueryEscape(f.env)
	}
	return f.ask(c, "GET", path, nil, func(w io.Writer, answer []byte) error {
		var list struct{ Directories []directoryOut }
		if err := json.Unmarshal(answer, &list); err != nil {
			return err
		}
		rows := [][]string{{"ID", "NAME", "KIND", "ACCOUNTS", "SYNC"}}
		for _, d := range list.Directories {
			rows = append(rows, []string{d.ID, d.Name, d.Kind, strconv.Itoa(d.Count), d.state()})
		}
		return table(w, rows)
	})
}

func (f *flags) getDirectory(c *cobra.Command, id string) error {
	return f.ask(c, "GET", "/api/directories/"+url.PathEscape(id), nil, func(w io.Writer, answer []byte) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(json.RawMessage(answer))
	})
}

func (f *flags) syncDirectory() *cobra.Command {
	var wait bool
	c := leaf("sync ID", "Asks for a synchronisation now", "  postern directory sync 5f0c… --wait", cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			cl, err := f.client(c)
			if err != nil {
				return err
			}
			path := "/api/directories/" + url.PathEscape(args[0])
			var before, after directoryOut
			if err := cl.do(c.Context(), "GET", path, nil, &before); err != nil {
				return err
			}
			if err := cl.do(c.Context(), "POST", path+"/sync", nil, nil); err != nil || !wait {
				return err
			}
			if after, err = cl.waitForSync(c, path, before); err != nil {
				return err
			}
			return f.send(c, cl, "GET", path, nil, func(w io.Writer, _ []byte) error {
				_, err := fmt.Fprintf(w, "%d accounts\n", after.Count)
				return err
			})
		})
	c.Flags().BoolVar(&wait, "wait", false, "wait until it is done; Ctrl-C leaves it running")
	return c
}

// pollEvery is how often progress is asked for.
const pollEvery = 500 * time.Millisecond

// waitForSync waits until a pass that began after before has ended.
func (cl *client) waitForSync(c *cobra.Command, path string, before directoryOut) (directoryOut, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var now directoryOut
		if err := cl.do(c.Context(), "GET", path, nil, &now); err != nil {
			return now, err
		}
		switch {
		case now.Completed.After(before.Completed):
			return now, nil
		case now.Sync.Question != nil, now.Error != "" && !now.SyncRunning && (now.Error != before.Error || now.Started.After(before.Started)):
			return now, errors.New(now.state())
		}
		select {
		case <-c.Context().Done():
			return now, c.Context().Err()
		case <-tick.C:
		}
	}
}

func (f *flags) ticket() *cobra.Command {
	var life time.Duration
	var out string
	c := leaf("ticket ID", "Makes a ticket with which one agent enrols, once", `  postern directory ticket 5f0c… --out ticket
  postern directory ticket 5f0c… | ssh agent.example.com postern-agent enroll`, cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			cl, err := f.client(c)
			if err == nil {
				err = writable(out)
			}
			if err != nil {
				return err
			}
			var answer json.RawMessage
			body := map[string]string{"ttl": life.String()}
			if err := cl.do(c.Context(), "POST", "/api/directories/"+url.PathEscape(args[0])+"/agent-tickets", body, &answer); err != nil {
				return err
			}
			return f.printTicket(c, answer, out)
		})
	c.Flags().DurationVar(&life, "ttl", time.Hour, "how long it can be used; at most an hour")
	c.Flags().StringVar(&out, "out", "", "file to write it to, with mode 0600; standard output if empty")
	return c
}

func (f *flags) printTicket(c *cobra.Command, answer json.RawMessage, out string) error {
	var t struct {
		Ticket  string
		Expires time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal(answer, &t); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(c.ErrOrStderr(), "good until %s, for one agent\n", t.Expires.Local().Format(time.DateTime))
	if out != "" {
		return writeSecret(out, []byte(t.Ticket+"\n"))
	}
	return f.show(c, answer, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, t.Ticket)
		return err
	})
}
