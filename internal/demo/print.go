package demo

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"text/template"
)

// print tells scripts or people what was started.
func (r *run) print() error {
	if r.JSON {
		return json.NewEncoder(r.Out).Encode(r.desc)
	}
	return peopleTemplate.Execute(r.Out, people{
		r.desc, fmt.Sprintf("ldaps://127.0.0.1:%d", r.ldapPort), filepath.Join(r.agentDir(), "ca.pem"), r.temporary,
	})
}

// people is what the text for people says.
type people struct {
	Description
	LDAP, CA  string // the directory, and the file with its certificate
	Temporary bool   // the data goes with the demo
}

var peopleTemplate = template.Must(template.New("people").Parse(`
Postern is running. The people of Lindenhof, a small company, have lost some passwords.

  Recovery site   {{.Site}}
  Mailbox         {{.Mailbox}}     (codes arrive here, whoever they are for)
  Wallet          {{.Wallet}}      (documents of everybody, for the way "A digital identity document")
  Status page     {{.Console}}
                  (the link works once; a new one comes with every start)
  REST API        curl -H "Authorization: Bearer {{.APIKey}}" {{.Hub}}/api/directories
  Directory       {{.LDAP}}     (LDAP, inside the agent)

  Employees, by their work addresses
{{- range .Accounts}}
                  {{if .Note}}{{printf "%-37s %s" .Email .Note}}{{else}}{{.Email}}{{end}}
{{- end}}

Seven things to try:
  1. Open the recovery site as Anna Berg, choose "A new password" and "A code by mail", take the code from the mailbox, press
     the button, and look at the temporary password. Press reload in the middle. Any LDAP client proves it:
     LDAPTLS_CACERT={{.CA}} ldapwhoami -x -H {{.LDAP}} \
       -D uid=anna.berg,ou=people,dc=lindenhof,dc=example -W
  2. Type an address that does not exist. Nothing on the way to the code tells you so.
  3. Open the status page while somebody recovers.
  4. Do it again with "A digital identity document" and the wallet; then show it somebody else's document.
  5. Add a passkey of this computer at {{.Site}}/options, and recover with it. Outside of this demo it would
     wait for 72 hours, and its owner would hear of it first.
  6. Let somebody vouch. {{if .Approver}}Make the key of Max Winter at
     {{.Approver}}
     and unlock{{else}}Unlock{{end}} the account of Siobhán Ní Néill (siobhan.oneill@lindenhof.example): after the code the page shows a number, and the
     mailbox has the link by which Max agrees.
  7. Let somebody look. Have the authenticators of Anna Berg (anna.berg@lindenhof.example) removed: after the code, hand in any two pictures, or
     take them with the camera. Decide at {{.Hub}}/console/reviews, after opening the status page above.

A computer without passkeys is given some by the demo, which end with it.
Ctrl-C ends everything{{if .Temporary}} and removes its data{{end}}.
`))
