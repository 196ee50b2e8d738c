package api

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/request"
)

// The commands of docs/requests.md are what people copy: each is carried out as it stands.
func TestTheCommandsOfTheGuideWork(t *testing.T) {
	text, err := os.ReadFile("../../docs/requests.md")
	if err != nil {
		t.Fatal(err)
	}
	st := lite(t)
	fill := strings.NewReplacer("'$ENV'", st.mine.Env.ID, "$REQUEST", st.mine.request, "$SUBJECT", st.mine.subject)
	commands := regexp.MustCompile(`(?s)curl -u ":\$KEY" (.*?)\n(?:curl|` + "```" + `)`)
	form := regexp.MustCompile(`^(?:-X (\w+) )?"\$HUB(/[^"]+)"(?: -H 'Content-Type: application/json' -d '(.*)')?$`)
	found := 0
	rest := string(text)
	for {
		at := commands.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		command := strings.Join(strings.Fields(strings.ReplaceAll(rest[at[2]:at[3]], "\\\n", " ")), " ")
		rest = rest[at[3]:]
		m := form.FindStringSubmatch(fill.Replace(command))
		if m == nil {
			t.Errorf("not a command that this test understands: %s", command)
			continue
		}
		found++
		method := m[1]
		if method == "" {
			method = "GET"
		}
		got := st.do(t, st.owner, method, m[2], m[3])
		if sent := strings.Contains(m[3], `"email"`); sent && !strings.Contains(got.body, "email: method not configured") || !sent && got.status >= 300 {
			t.Errorf("%s: %d %s", command, got.status, got.body)
		}
	}
	if found != 8 {
		t.Errorf("%d commands", found)
	}
}

// Every claim and scope of the vocabulary has its place in the guide.
func TestTheGuideNamesEveryClaim(t *testing.T) {
	text, err := os.ReadFile("../../docs/requests.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range claimNames {
		if !request.KnownClaim(name) || !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("the guide does not name %s", name)
		}
	}
}
