package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// mailCommand says whether mails go out, and tries.
func mailCommand(c *cobra.Command) {
	f := new(flags)
	f.on(c)
	group(c,
		leaf("test ADDRESS", "Sends one mail by the hub's mail server now and prints what that answered", "  postern mail test you@example.com", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.testMail(c, args[0]) }),
		leaf("status", "Says whether mails go out, and if not, since when and why", "  postern mail status", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error { return f.askEnv(c, "GET", "/mail", nil, printMail) }),
	)
}

// testedMail is what became of a mail.
type testedMail struct {
	Server             string
	Taken              bool
	Answer, Step, Next string
}

// testMail ends with an error where the mail server did not take the mail.
func (f *flags) testMail(c *cobra.Command, to string) error {
	cl, env, err := f.environment(c)
	if err != nil {
		return err
	}
	var got testedMail
	err = f.sendTest(c, cl, env+"/mail/test", map[string]string{"to": to}, &got, func(w io.Writer) error {
		if !got.Taken {
			return nil // the error says it
		}
		_, err := fmt.Fprintf(w, "%s took the mail: %s\n", got.Server, got.Answer)
		return err
	})
	if err != nil || got.Taken {
		return err
	}
	return fmt.Errorf("%s did not take the mail (%s): %s\n%s", got.Server, stepNames[got.Step], got.Answer, got.Next)
}

// stepNames are the steps of a mail in words.
var stepNames = map[string]string{
	"connect": "connecting", "encrypt": "encrypting", "sign_in": "signing in", "sender": "the sender", "recipient": "the recipient", "words": "the text",
}

// printMail says whether mails go out.
func printMail(w io.Writer, answer []byte) error {
	var m struct {
		Configured bool
		Waiting    int
		Stuck      []struct {
			Node               string
			Since              time.Time
			Tried              time.Time `json:"last_try_at"`
			Step, Reason, Next string
		}
	}
	if err := json.Unmarshal(answer, &m); err != nil {
		return err
	}
	switch {
	case !m.Configured:
		fmt.Fprintln(w, "The hub has no mail server: set smtp in the Caddyfile and reload the hub.")
	case len(m.Stuck) == 0:
		fmt.Fprintln(w, "No mail is known that was not taken; postern mail test ADDRESS sends one.")
	}
	for _, s := range m.Stuck {
		fmt.Fprintf(w, "%s cannot send since %s, last tried at %s (%s): %s\n%s\n", s.Node, s.Since.Format(time.RFC3339), s.Tried.Format(time.RFC3339), stepNames[s.Step], s.Reason, s.Next)
	}
	_, err := fmt.Fprintf(w, "%d waiting\n", m.Waiting)
	return err
}
