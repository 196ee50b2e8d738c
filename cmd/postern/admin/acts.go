package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// actOut is what the API says of an account operation.
type actOut struct {
	Operation, State, Code, Reason, Message string
	Evaluation, Second                      bool
	Changes                                 []difference
	Created                                 string `json:"created_at"`
	Expires                                 string `json:"expires_at"`
}

// difference is one property of the account.
type difference struct{ What, Name, Before, After string }

// line says what changes. Of an attribute the agent tells how many values there are, and
// never what they are.
func (d difference) line() string {
	if d.Name != "" {
		return fmt.Sprintf("  %s: %s value(s) -> %s value(s)\n", d.Name, d.Before, d.After)
	}
	return fmt.Sprintf("  %s: %s -> %s\n", d.What, orNothing(d.Before), orNothing(d.After))
}

// errNotDone ends a command whose operation was not carried out; what stood in the way
// was printed.
var errNotDone = errors.New("the account was not changed")

// errNotKnown ends a command of which nobody knows whether it changed the account.
var errNotKnown = errors.New("nobody knows yet what became of it: look with postern account operations")

// actCommands change accounts in their directory, as far as the agent's own file allows.
func (f *flags) actCommands() []*cobra.Command {
	members := leaf("group", "Changes the groups of an account in its directory", "", cobra.NoArgs, nil)
	group(members,
		f.groupAct("add ACCOUNT GROUP", "Adds an account to a group, named by id or by a name that no other group has", "add_to_group"),
		f.groupAct("remove ACCOUNT GROUP", "Removes an account from a group", "remove_from_group"))
	return []*cobra.Command{
		f.act("enable ACCOUNT", "Enables an account in its directory", "enable"),
		f.act("disable ACCOUNT", "Disables an account in its directory", "disable"),
		f.act("must-change ACCOUNT", "Has the directory ask for a new password at the next sign-in", "set_must_change"),
		members, f.setAct(), f.deleteAct(),
		leaf("operations ACCOUNT", "Lists what was changed of an account in its directory, and what waits for another administrator", "  postern account operations ada@example.com", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.ask(c, "GET", accountPath(args[0])+"/operations", nil, printActs)
			}),
	}
}

func (f *flags) act(use, short, operation string) *cobra.Command {
	var dry bool
	c := leaf(use, short, "  postern account "+use+" --dry-run", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return f.order(c, args[0], map[string]any{"operation": operation, "dry_run": dry})
	})
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would change, and change nothing")
	return c
}

func (f *flags) groupAct(use, short, operation string) *cobra.Command {
	var dry bool
	c := leaf(use, short, "  postern account group "+use+" --dry-run", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		return f.order(c, args[0], map[string]any{"operation": operation, "group": args[1], "dry_run": dry})
	})
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would change, and change nothing")
	return c
}

// setAct reads values from standard input: the list of processes shows arguments to
// everybody on the machine.
func (f *flags) setAct() *cobra.Command {
	var dry, none bool
	c := leaf("set-attribute ACCOUNT ATTRIBUTE", "Sets an attribute of an account in its directory; the values come from standard input, one on each line",
		"  echo '+44 20 7946 0000' | postern account set-attribute ada@example.com telephoneNumber --dry-run\n  postern account set-attribute ada@example.com title --clear",
		cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
			values := []string{}
			if !none {
				lines, err := linesOf(c.InOrStdin())
				if err != nil {
					return err
				}
				if len(lines) == 0 {
					return errors.New("no value came on standard input: write one on each line, or say --clear to take all away")
				}
				values = lines
			}
			return f.order(c, args[0], map[string]any{"operation": "set_attribute", "attribute": args[1], "values": values, "dry_run": dry})
		})
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would change, and change nothing")
	c.Flags().BoolVar(&none, "clear", false, "take all values away")
	return c
}

// maxValues bounds what is read of standard input: more than the hub takes.
const maxValues = 64 << 10

func linesOf(r io.Reader) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxValues))
	return strings.FieldsFunc(string(text), func(c rune) bool { return c == '\n' || c == '\r' }), err
}

func (f *flags) deleteAct() *cobra.Command {
	var dry bool
	var sure string
	c := leaf("delete ACCOUNT", "Deletes an account from its directory, for good", "  postern account delete ada@example.com --dry-run\n  postern account delete ada@example.com --yes ada@example.com",
		cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
			if !dry && sure != args[0] {
				return fmt.Errorf("this cannot be undone; to go on: postern account delete %s --yes %s", args[0], args[0])
			}
			return f.order(c, args[0], map[string]any{"operation": "delete_account", "dry_run": dry})
		})
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would change, and change nothing")
	c.Flags().StringVar(&sure, "yes", "", "the account once more")
	return c
}

// order asks for one operation and fails unless it was carried out, or would be.
func (f *flags) order(c *cobra.Command, account string, body map[string]any) error {
	cl, err := f.client(c)
	if err != nil {
		return err
	}
	var answer json.RawMessage
	if err := cl.do(c.Context(), "POST", accountPath(account)+"/operations", body, &answer); err != nil {
		return err
	}
	var out actOut
	if err := json.Unmarshal(answer, &out); err != nil {
		return err
	}
	if err := f.show(c, answer, out.print); err != nil {
		return err
	}
	switch out.State {
	case "done", "foreseen", "evaluated", "waiting":
		return nil
	case "sent", "unknown":
		return errNotKnown
	}
	return errNotDone
}

// actWords say what became of an operation.
var actWords = map[string]string{
	"done": "done", "foreseen": "this would change", "evaluated": "the agent evaluates: this would have changed, and nothing was", "refused": "the agent refuses",
	"failed": "not carried out", "unknown": "nobody knows what became of it; look in the directory", "sent": "sent, and not answered yet",
	"waiting": "another administrator has to agree, in the console, within 24 hours",
}

func (o actOut) print(w io.Writer) error {
	text := actWords[o.State]
	if o.Message != "" {
		text += ": " + o.Message
	} else if o.Code != "" {
		text += ": " + o.why()
	}
	if text += "\n"; o.Second {
		text += "  another administrator would have to agree\n"
	}
	for _, d := range o.Changes {
		text += d.line()
	}
	_, err := io.WriteString(w, text)
	return err
}

// reasonWords say why in words, where the code alone would not.
var reasonWords = map[string]string{
	"value_refused": "the directory does not take such a value in this attribute, or not as many", "missing_rights": "the agent's account lacks a right in the directory",
	"attribute_off": "the agent's file does not let the attribute be set",
}

func (o actOut) why() string {
	if words, known := reasonWords[o.Reason]; known {
		return words
	}
	return o.Code
}

func orNothing(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return s
}

func printActs(w io.Writer, answer []byte) error {
	var list struct{ Operations []actOut }
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	rows := [][]string{{"TIME", "OPERATION", "STATE", "ENDS", "WHY"}}
	for _, o := range list.Operations {
		rows = append(rows, []string{o.Created, o.Operation, o.State, o.Expires, o.why()})
	}
	return table(w, rows)
}
