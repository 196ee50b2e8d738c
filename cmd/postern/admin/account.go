package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// shutOut is what the API says of an account that may be shut out.
type shutOut struct {
	Stopped bool
	Closed  time.Time `json:"closed_until"`
	Blocked time.Time `json:"blocked_until"`
}

func accountCommand(c *cobra.Command) {
	f := new(flags)
	f.on(c)
	c.AddCommand(f.actCommands()...)
	group(c, f.listAccounts(), f.setAccount(), photoCommand(f),
		leaf("get ACCOUNT", "Shows an account, by its id or any of its names, as JSON", "  postern account get ada@example.com", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.ask(c, "GET", accountPath(args[0]), nil, indented)
			}),
		f.removal("forget ACCOUNT", "Erases the person of an account from the audit log, for good; what happened stays", "account forget",
			func(id string) string { return accountPath(id) + "/history" }),
		leaf("recovery ACCOUNT", "Shows what keeps an account from being recovered",
			"  postern account recovery ada@example.com", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.shutOut(c, args[0]) }),
		leaf("reopen ACCOUNT", "Forgets the wrong codes of an account, after its owner was asked",
			"  postern account reopen ada@example.com", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.decide(c, "DELETE", recoveryPath(args[0])+"/stop", nil)
			}),
		leaf("unblock ACCOUNT", `Ends the block that an owner asked for with "this was not me"`,
			"  postern account unblock ada@example.com", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.decide(c, "DELETE", recoveryPath(args[0])+"/block", nil)
			}),
	)
}

func accountPath(account string) string { return "/api/accounts/" + url.PathEscape(account) }

func recoveryPath(account string) string { return accountPath(account) + "/recovery" }

func (f *flags) shutOut(c *cobra.Command, account string) error {
	return f.ask(c, "GET", recoveryPath(account), nil, func(w io.Writer, answer []byte) error {
		var s shutOut
		if err := json.Unmarshal(answer, &s); err != nil {
			return err
		}
		return s.print(w, account)
	})
}

// print says what shuts an account out, and which command ends it.
func (s shutOut) print(w io.Writer, account string) error {
	text := ""
	if s.Stopped {
		text += "too many wrong codes: shut until you run: postern account reopen " + account + "\n"
	} else if !s.Closed.IsZero() {
		text += fmt.Sprintf("ten wrong codes in a day: shut until %s, or until you run: postern account reopen %s\n", s.Closed.Local().Format(time.DateTime), account)
	}
	if !s.Blocked.IsZero() {
		text += fmt.Sprintf("the owner said \"this was not me\": blocked until %s, or until you run: postern account unblock %s\n", s.Blocked.Local().Format(time.DateTime), account)
	}
	if text == "" {
		text = "nothing keeps the account from being recovered\n"
	}
	_, err := io.WriteString(w, text)
	return err
}
