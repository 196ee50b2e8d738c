package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// agentOut is what the API says of an agent, as far as people are shown it.
type agentOut struct {
	ID, Name, State, Version string
	Fingerprint              string
	Seen                     time.Time `json:"seen_at"`
	Conflict                 time.Time `json:"conflict_since"`
	LogStopped               string    `json:"log_stopped"`
	Nodes                    []string
}

// stands says in a few words how an agent is.
func (a agentOut) stands() string {
	switch {
	case !a.Conflict.IsZero():
		return "two processes use its key"
	case a.State == "pending":
		return "waits to be confirmed"
	case a.LogStopped != "":
		return "does nothing: shown another history of the audit log"
	}
	return a.State
}

// where says whether an agent is connected.
func (a agentOut) where() string {
	switch {
	case len(a.Nodes) > 0:
		return strings.Join(a.Nodes, " ")
	case a.Seen.IsZero():
		return "never"
	}
	return "last " + a.Seen.Local().Format(time.DateTime)
}

// agents are the commands about the agents of a directory.
func (f *flags) agents() *cobra.Command {
	c := &cobra.Command{Use: "agents", Short: "Lists, examines, confirms, releases and revokes agents"}
	group(c,
		leaf("list DIRECTORY", "Lists the agents of a directory with their fingerprints", "  postern directory agents list 5f0c…", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.listAgents(c, args[0]) }),
		leaf("examine DIRECTORY AGENT", "Asks an agent how its directory, base DNs and disk are, six times an hour at most", "  postern directory agents examine 5f0c… 77aa…", cobra.ExactArgs(2),
			func(c *cobra.Command, args []string) error {
				return f.ask(c, "POST", agentPath(args)+"/examine", nil, printExamination)
			}),
		f.confirmAgent(),
		leaf("release DIRECTORY AGENT", "Lets an agent work again whose key two processes used, once one of them is stopped",
			"  postern directory agents release 5f0c… 77aa…", cobra.ExactArgs(2),
			func(c *cobra.Command, args []string) error {
				return f.decide(c, "POST", agentPath(args)+"/release", nil)
			}),
		leaf("revoke DIRECTORY AGENT", "Ends an agent for good", "  postern directory agents revoke 5f0c… 77aa…", cobra.ExactArgs(2),
			func(c *cobra.Command, args []string) error { return f.decide(c, "DELETE", agentPath(args), nil) }),
	)
	return c
}

func agentsPath(directory string) string {
	return "/api/directories/" + url.PathEscape(directory) + "/agents"
}

func agentPath(args []string) string { return agentsPath(args[0]) + "/" + url.PathEscape(args[1]) }

func (f *flags) confirmAgent() *cobra.Command {
	var fingerprint string
	c := leaf("confirm DIRECTORY AGENT", "Lets a further agent of a directory work, once its fingerprint was compared",
		"  postern directory agents confirm 5f0c… 77aa… --fingerprint 1234-…     as the agent's own machine shows it", cobra.ExactArgs(2),
		func(c *cobra.Command, args []string) error {
			if fingerprint == "" {
				return errors.New("--fingerprint is missing: what \"postern-agent enroll\" printed on the agent's own machine")
			}
			return f.decide(c, "POST", agentPath(args)+"/confirm", map[string]string{"fingerprint": fingerprint})
		})
	c.Flags().StringVar(&fingerprint, "fingerprint", "", "the fingerprint that the agent's own machine shows")
	return c
}

// decide sends one decision, whose answer is empty.
func (f *flags) decide(c *cobra.Command, method, path string, body any) error {
	cl, err := f.client(c)
	if err != nil {
		return err
	}
	return cl.do(c.Context(), method, path, body, nil)
}

func (f *flags) listAgents(c *cobra.Command, directory string) error {
	return f.ask(c, "GET", agentsPath(directory), nil, func(w io.Writer, answer []byte) error { return printAgents(w, directory, answer) })
}

// printAgents prints agents, and below them what somebody must decide.
func printAgents(w io.Writer, directory string, answer []byte) error {
	var list struct{ Agents []agentOut }
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	rows, next := [][]string{{"ID", "MACHINE", "STATE", "CONNECTED TO", "VERSION", "FINGERPRINT"}}, ""
	for _, a := range list.Agents {
		rows = append(rows, []string{a.ID, a.Name, a.stands(), a.where(), a.Version, a.Fingerprint})
		if a.State == "pending" {
			next += fmt.Sprintf("\ncompare the fingerprint with the one on its machine, then confirm it: postern directory agents confirm %s %s --fingerprint …\n", directory, a.ID)
		}
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := io.WriteString(w, next)
	return err
}

// printExamination prints what an agent says of itself, and what to do.
func printExamination(w io.Writer, answer []byte) error {
	var e struct {
		Directory, Bases, Disk string
		Findings               []struct {
			Number    int
			Fix, Page string
		}
	}
	if err := json.Unmarshal(answer, &e); err != nil {
		return err
	}
	if err := table(w, [][]string{{"DIRECTORY", "BASE DNS", "DISK"}, {e.Directory, e.Bases, e.Disk}}); err != nil {
		return err
	}
	text := "\nnothing is wrong of what an agent tells a hub"
	if len(e.Findings) > 0 {
		text = ""
	}
	for _, f := range e.Findings {
		text += fmt.Sprintf("\n%d: %s (%s)", f.Number, f.Fix, f.Page)
	}
	_, err := io.WriteString(w, text+"\nmore on the agent's own machine: postern-agent doctor\n")
	return err
}
