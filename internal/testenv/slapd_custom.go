package testenv

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// customNames are what a custom schema calls the attributes of people and of groups. What
// names entries, and what it has no word for, stays.
var customNames = [2]map[string]string{
	{"cn": "acmeName", "sn": "acmeFamily", "mail": "acmeMail", "displayName": "acmeDisplay", "mobile": "acmePhone", "manager": "acmeBoss",
		"preferredLanguage": "acmeLanguage", "memberOf": "", "employeeNumber": ""},
	{"member": "acmeMate", "memberOf": ""},
}

// SlapdNumber is the id that a custom schema gives a person: the same in every run.
func SlapdNumber(dn string) string { return "m-" + SlapdID(dn)[:8] }

// writeCustom writes the company in classes and attributes of its own.
func writeCustom(w io.Writer, o SlapdOptions) {
	var usual bytes.Buffer
	writeCompany(&usual, o)
	for entry := range strings.SplitSeq(usual.String(), "\n\n") {
		switch {
		case strings.Contains(entry, "\nobjectClass: inetOrgPerson"):
			writeRenamed(w, entry, customNames[0])
			fmt.Fprintf(w, "acmeNumber: %s\n", SlapdNumber(dnOf(entry)))
		case strings.Contains(entry, "\nobjectClass: groupOfNames"):
			writeRenamed(w, entry, customNames[1])
			_, title, _ := strings.Cut(entry, "\ncn: ")
			title, _, _ = strings.Cut(title, "\n")
			fmt.Fprintf(w, "acmeTitle: %s\n", title)
		default:
			fmt.Fprintln(w, entry)
		}
		fmt.Fprintln(w)
	}
}

// writeRenamed writes an entry with other names. An empty name leaves a line out.
func writeRenamed(w io.Writer, entry string, names map[string]string) {
	lines := bufio.NewScanner(strings.NewReader(entry))
	for lines.Scan() {
		line := strings.NewReplacer("objectClass: inetOrgPerson", "objectClass: acmeMember", "objectClass: groupOfNames", "objectClass: acmeTeam").Replace(lines.Text())
		name, rest, _ := strings.Cut(line, ":")
		to, renamed := names[name]
		switch {
		case renamed && to == "" || line == "objectClass: corpPerson":
		case renamed:
			fmt.Fprintln(w, to+":"+rest)
		default:
			fmt.Fprintln(w, line)
		}
	}
}

// dnOf reads the DN of an entry, also where LDIF writes it in base64.
func dnOf(entry string) string {
	first, _, _ := strings.Cut(entry, "\n")
	for _, p := range people {
		if first+"\n" == line("dn", slapdDN(p.uid)) {
			return slapdDN(p.uid)
		}
	}
	return strings.TrimPrefix(first, "dn: ")
}
