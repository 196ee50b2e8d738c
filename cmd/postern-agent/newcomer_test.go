package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/internal/testenv"
)

// Somebody makes the three typical mistakes at once: an authority that is not trusted, a
// wrong base DN, rights that nobody gave. Doing what doctor says, and nothing else, mends
// one after the other.
func TestANewcomersMistakesAreMendedByTheLinesThatDoctorPrints(t *testing.T) {
	s := testenv.SharedSamba(t)
	const password = "Agent-Passw0rd-2031"
	s.AddPerson(t, testenv.SambaPartners, "svc-newcomer", password, nil)
	site := sambaSite(t, s).with("bind_dn", q("svc-newcomer@corp.example"), "ca_file", "", "base_dns", `["OU=Staf,DC=corp,DC=example"]`)
	site.secret(t, password)
	var met []int
	for range 4 {
		r := site.examine(t, "--account", "anna.berg")
		found := r.numbers()
		if len(found) == 0 {
			break
		}
		first := found[0]
		met = append(met, first)
		detail, _, paste := r.step(first)
		for _, step := range r.Steps {
			for _, line := range step.Write {
				key, value, _ := strings.Cut(line, " = ")
				if site = site.with(key, value); key == "ca_file" { // what its administrator gives, by the name that the line has
					if err := os.WriteFile(filepath.Join(site.dir, strings.Trim(value, `"`)), []byte(read(t, s.CAFile)), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for _, line := range paste {
			m := pasted.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("%d, %s: the line cannot be run: %s", first, detail, line)
			}
			s.Tool(t, "dsacl", "set", "--action=allow", "--objectdn="+m[1], "--sddl="+m[2])
		}
	}
	if want := []int{doctor.ServerUntrusted, doctor.NoSuchBase, doctor.RightMissing}; !slices.Equal(met, want) {
		t.Errorf("the findings to begin with were %v, want %v", met, want)
	}
	if r := site.examine(t, "--account", "anna.berg"); len(r.numbers()) != 0 {
		t.Errorf("in the end: %v\n%s", r.numbers(), r.text)
	}
}
