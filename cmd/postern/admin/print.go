package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// show prints an answer: as JSON where the flag says so, else by lines.
func (f *flags) show(c *cobra.Command, answer json.RawMessage, lines func(io.Writer) error) error {
	if !f.json {
		return lines(c.OutOrStdout())
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", answer)
	return err
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
