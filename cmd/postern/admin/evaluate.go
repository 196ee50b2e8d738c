package admin

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// evaluationOut is a run as the API describes it, as far as people are shown it.
type evaluationOut struct {
	ID, State, Problem string
	Total, Done        int
	Totals             struct {
		All, Some, None int
		Reasons         map[string]int
		Groups          map[string]struct{ Accounts, All int }
	}
}

// evaluatedOut is one account of a run.
type evaluatedOut struct {
	ID          string   `json:"id"`
	ImmutableID string   `json:"immutable_id"`
	Identifiers []string `json:"ids"`
	Name        string
	Could       int
	Reasons     []string
	Notes       []string
	Groups      []string
}

// could are the words for evaluatedOut.Could.
var could = []string{"nothing", "some", "all"}

func (f *flags) evaluate() *cobra.Command {
	var group string
	var asCSV bool
	var accounts []string
	c := leaf("evaluate ID", "Says who of a directory could recover today, and why the others could not; the agent's own file must say evaluation = true",
		`  postern directory evaluate 5f0c…
  postern directory evaluate 5f0c… --group Finance --csv > finance.csv
  postern directory evaluate 5f0c… --account lee@example.com`, cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			cl, err := f.client(c)
			if err != nil {
				return err
			}
			path := "/api/directories/" + url.PathEscape(args[0]) + "/evaluations"
			var run evaluationOut
			if err := cl.do(c.Context(), "POST", path, map[string]any{"group": group, "accounts": accounts}, &run); err != nil {
				return err
			}
			path += "/" + run.ID
			if run, err = cl.waitForEvaluation(c, path); err != nil {
				return err
			}
			return f.printEvaluation(c, cl, path, run, asCSV)
		})
	c.Flags().StringVar(&group, "group", "", "only members of this group (name or id)")
	c.Flags().StringArrayVar(&accounts, "account", nil, "only this account (an address or sign-in name); may be repeated")
	c.Flags().BoolVar(&asCSV, "csv", false, "print one line for each account, for spreadsheets")
	return c
}

// waitForEvaluation shows the progress on standard error until the run has ended.
func (cl *client) waitForEvaluation(c *cobra.Command, path string) (evaluationOut, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	said := ""
	for {
		var run evaluationOut
		if err := cl.do(c.Context(), "GET", path, nil, &run); err != nil {
			return run, err
		}
		if line := strings.TrimSpace(fmt.Sprintf("%d of %d accounts %s", run.Done, run.Total, run.Problem)); line != said {
			said = line
			fmt.Fprintln(c.ErrOrStderr(), line) // whom nobody reads is not told
		}
		switch run.State {
		case "done":
			return run, nil
		case "running":
		default:
			return run, errors.New("the evaluation ended: " + first(run.Problem, run.State))
		}
		select {
		case <-c.Context().Done():
			return run, fmt.Errorf("%w; it goes on at the hub: GET %s", c.Context().Err(), path)
		case <-tick.C:
		}
	}
}

func (f *flags) printEvaluation(c *cobra.Command, cl *client, path string, run evaluationOut, asCSV bool) error {
	switch {
	case asCSV:
		return cl.evaluationCSV(c.Context(), c.OutOrStdout(), path)
	case f.json:
		return cl.evaluationJSON(c.Context(), c.OutOrStdout(), path)
	}
	return printTotals(c.OutOrStdout(), run)
}

func printTotals(w io.Writer, run evaluationOut) error {
	t := run.Totals
	rows := [][]string{{"COULD", "ACCOUNTS"}, {"everything", fmt.Sprint(t.All)}, {"something", fmt.Sprint(t.Some)}, {"nothing", fmt.Sprint(t.None)}}
	if err := table(w, rows); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil || len(t.Reasons) == 0 {
		return err
	}
	rows = [][]string{{"REASON", "ACCOUNTS"}}
	reasons := slices.SortedFunc(maps.Keys(t.Reasons), func(a, b string) int {
		if d := t.Reasons[b] - t.Reasons[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, r := range reasons {
		rows = append(rows, []string{r, fmt.Sprint(t.Reasons[r])})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\nwhat each reason means and what to do: docs/evaluation.md; who it is: --csv or --json\n")
	return err
}

// eachEvaluated reads the accounts of a run page by page.
func (cl *client) eachEvaluated(ctx context.Context, path string, do func(json.RawMessage) error) error {
	after := ""
	for {
		var page struct {
			Accounts []json.RawMessage
			After    string
		}
		if err := cl.do(ctx, "GET", path+"/accounts?count=1000&after="+url.QueryEscape(after), nil, &page); err != nil {
			return err
		}
		for _, a := range page.Accounts {
			if err := do(a); err != nil {
				return err
			}
		}
		if after = page.After; after == "" {
			return nil
		}
	}
}

// evaluationJSON prints the run and its accounts, one JSON value in each line.
func (cl *client) evaluationJSON(ctx context.Context, w io.Writer, path string) error {
	var run json.RawMessage
	if err := cl.do(ctx, "GET", path, nil, &run); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s\n", run); err != nil {
		return err
	}
	return cl.eachEvaluated(ctx, path, func(a json.RawMessage) error {
		_, err := fmt.Fprintf(w, "%s\n", a)
		return err
	})
}

// evaluationCSV prints accounts for spreadsheets. What a directory holds must not become
// a formula.
func (cl *client) evaluationCSV(ctx context.Context, w io.Writer, path string) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"account", "ids", "name", "could", "reasons", "notes", "groups"}); err != nil {
		return err
	}
	err := cl.eachEvaluated(ctx, path, func(text json.RawMessage) error {
		var a evaluatedOut
		if err := json.Unmarshal(text, &a); err != nil {
			return err
		}
		line := []string{a.ImmutableID, strings.Join(a.Identifiers, " "), a.Name, could[min(max(a.Could, 0), 2)],
			strings.Join(a.Reasons, " "), strings.Join(a.Notes, " "), strings.Join(a.Groups, "; ")}
		for i, cell := range line {
			line[i] = plainCell(cell)
		}
		return out.Write(line)
	})
	out.Flush()
	return errors.Join(err, out.Error())
}

// plainCell quotes a text with which a formula could begin.
func plainCell(text string) string {
	if strings.ContainsAny(text[:min(1, len(text))], "=+-@\t\r\n|%") {
		return "'" + text
	}
	return text
}
