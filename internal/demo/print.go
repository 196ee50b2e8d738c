package demo

import (
	"encoding/json"
	"text/template"
)

// print tells scripts or people what was started.
func (r *run) print() error {
	if r.JSON {
		return json.NewEncoder(r.Out).Encode(r.desc)
	}
	return peopleTemplate.Execute(r.Out, r.desc)
}

var peopleTemplate = template.Must(template.New("people").Parse(`
Postern is running. The people of Lindenhof, a small company, have lost some passwords.

  Recovery site   {{.Site}}
  Mailbox         {{.Mailbox}}     (codes arrive here)
  Status page     {{.Console}}
                  (opens once; a new link comes with every start)
  REST API        {{.Hub}}/api     key: {{.APIKey}}

  Employees       work address                          private address
{{- range .Accounts}}
                  {{printf "%-37s %s" .Email .PersonalEmail}}
{{- end}}

Three things to try:
  1. Open the recovery site as one of them, choose "reset my password", take the code from the mailbox,
     and look at the temporary password. Press reload in the middle. Press the button twice.
  2. Type an address that does not exist. Nothing on the way to the code tells you so.
  3. Open the status page while somebody recovers.

Ctrl-C ends everything.
`))
