package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// methods are those of the API.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// callCommand reaches every operation of the API, those without a command of their own too.
func callCommand(c *cobra.Command) {
	f := new(flags)
	f.on(c)
	var data string
	c.Use, c.Args = "api METHOD PATH", cobra.ExactArgs(2)
	c.Example = `  postern api GET /api/org
  postern api PATCH /api/envs/5f0c… --data changes.json
  echo '{"label":"4711"}' | postern api PATCH /api/requests/77aa… --data -`
	c.Flags().StringVar(&data, "data", "", `JSON file with the body, "-" for standard input`)
	c.RunE = func(c *cobra.Command, args []string) error { return f.call(c, args[0], args[1], data) }
}

func (f *flags) call(c *cobra.Command, method, path, data string) error {
	method = strings.ToUpper(method)
	if !slices.Contains(methods, method) || !strings.HasPrefix(path, "/") {
		return errors.New("want: postern api METHOD PATH, such as GET /api/envs; METHOD is one of " + strings.Join(methods, ", "))
	}
	var body any
	if data != "" {
		settings, err := readSettings(c, data)
		if err != nil {
			return err
		}
		body = settings
	}
	return f.ask(c, method, path, body, printAny)
}

// printAny prints JSON for people, and nothing where there is nothing.
func printAny(w io.Writer, answer []byte) error {
	if len(answer) == 0 || !json.Valid(answer) {
		return nil
	}
	return indented(w, answer)
}
