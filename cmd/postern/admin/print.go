package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
)

// ask sends a request and prints the answer: as JSON where the flag says so, else by
// lines.
func (f *flags) ask(c *cobra.Command, method, path string, body any, lines func(w io.Writer, answer []byte) error) error {
	cl, err := f.client(c)
	if err != nil {
		return err
	}
	return f.send(c, cl, method, path, body, lines)
}

// askEnv is ask for a path below the environment that is meant.
func (f *flags) askEnv(c *cobra.Command, method, path string, body any, lines func(w io.Writer, answer []byte) error) error {
	cl, below, err := f.environment(c)
	if err != nil {
		return err
	}
	return f.send(c, cl, method, below+path, body, lines)
}

// environment returns the path of the environment that is meant.
func (f *flags) environment(c *cobra.Command) (cl *client, path string, err error) {
	if cl, err = f.client(c); err != nil {
		return nil, "", err
	}
	env, err := cl.environment(c.Context(), f.env)
	return cl, "/api/envs/" + url.PathEscape(env), err
}

// sendTest asks to try something, fills got with the answer and shows it. What came of the
// trial is in got where JSON is printed, too: scripts go by how the command ends.
func (f *flags) sendTest(c *cobra.Command, cl *client, path string, body, got any, lines func(w io.Writer) error) error {
	var answer json.RawMessage
	if err := cl.do(c.Context(), "POST", path, body, &answer); err != nil {
		return err
	}
	if err := json.Unmarshal(answer, got); err != nil {
		return err
	}
	return f.show(c, answer, lines)
}

func (f *flags) send(c *cobra.Command, cl *client, method, path string, body any, lines func(w io.Writer, answer []byte) error) error {
	var answer json.RawMessage
	if err := cl.do(c.Context(), method, path, body, &answer); err != nil {
		return err
	}
	return f.show(c, answer, func(w io.Writer) error { return lines(w, answer) })
}

// show prints an answer: as JSON where the flag says so, else by lines.
func (f *flags) show(c *cobra.Command, answer json.RawMessage, lines func(io.Writer) error) error {
	if !f.json {
		return lines(plain{c.OutOrStdout()})
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", answer)
	return err
}

// plain is a writer for terminals: what a hub says steers none. Names in it come from
// directories, agents and whoever filled in a form.
type plain struct{ to io.Writer }

// Write implements io.Writer.
func (p plain) Write(b []byte) (int, error) {
	if _, err := p.to.Write(bytes.Map(steersNothing, b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// steersNothing makes a control character a question mark, except ends of lines and tabs.
func steersNothing(r rune) rune {
	if unicode.IsControl(r) && r != '\n' && r != '\t' {
		return '?'
	}
	return r
}

// table prints rows in columns, under a heading.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, r := range rows {
		_, _ = fmt.Fprintln(t, strings.Join(r, "\t")) // Flush reports
	}
	return t.Flush()
}

// yes prints a truth for people.
func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
