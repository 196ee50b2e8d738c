package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// apiKeyOut is what the API says of an API key.
type apiKeyOut struct {
	ID, Name, Role string
	Enabled        bool
	Envs           []string
	Expires        time.Time `json:"expires_at"`
	Used           time.Time `json:"last_used_at"`
}

// keyWish is the body of a new key, and of a change of one.
type keyWish struct {
	Name    *string          `json:"name,omitempty"`
	Role    *string          `json:"role,omitempty"`
	Envs    []string         `json:"envs,omitempty"`
	Enabled *bool            `json:"enabled,omitempty"`
	Expires *json.RawMessage `json:"expires_at,omitempty"` // null: never
}

func apiKeyCommand(c *cobra.Command) {
	f := new(flags)
	f.on(c)
	path := func(id string) string { return "/api/apikeys/" + url.PathEscape(id) }
	group(c, f.createKey(), f.setKey(path),
		leaf("list", "Lists API keys, never their texts", "  postern apikey list", cobra.NoArgs,
			func(c *cobra.Command, _ []string) error { return f.ask(c, "GET", "/api/apikeys", nil, printKeys) }),
		leaf("get ID", "Shows one API key, as JSON", "  postern apikey get 5f0c…", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.ask(c, "GET", path(args[0]), nil, indented) }),
		leaf("delete ID", "Removes an API key; programs that use it are refused at once", "  postern apikey delete 5f0c…", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.decide(c, "DELETE", path(args[0]), nil) }),
	)
}

// keyFlags are those of a key that is made or changed.
type keyFlags struct {
	name, role string
	envs       []string
	life       time.Duration
	forever    bool
	off, on    bool
}

func (k *keyFlags) add(c *cobra.Command) {
	p := c.Flags()
	p.StringVar(&k.name, "name", "", "what the key is for, for people")
	p.StringVar(&k.role, "role", "", "owner, admin, user, limited_plus or limited")
	p.StringArrayVar(&k.envs, "for", nil, `id of an environment that the key is for; may be repeated; "*" is all of them`)
	p.DurationVar(&k.life, "expires-in", 0, "how long the key works from now, such as 720h")
}

// errOver refuses a key that is over as it is made: a zero would be one without an end.
var errOver = errors.New("--expires-in: want a time that is still to come, such as 720h")

// wish returns what was given.
func (k *keyFlags) wish(c *cobra.Command) (w keyWish, err error) {
	if c.Flags().Changed("expires-in") && k.life <= 0 {
		return w, errOver
	}
	if c.Flags().Changed("name") {
		w.Name = &k.name
	}
	if c.Flags().Changed("role") {
		w.Role = &k.role
	}
	w.Envs = k.envs
	if k.off || k.on {
		w.Enabled = &k.on
	}
	end := json.RawMessage("null")
	if k.life != 0 {
		end, _ = json.Marshal(time.Now().Add(k.life).UTC().Truncate(time.Second)) // a time always can
	}
	if k.life != 0 || k.forever {
		w.Expires = &end
	}
	return w, nil
}

func (f *flags) createKey() *cobra.Command {
	var k keyFlags
	var out string
	c := leaf("create", "Makes an API key; its text is shown this once", `  postern apikey create --name "ticket system" --role user --expires-in 2160h --out key
  postern apikey create --name reports --role limited_plus --for 5f0c…`, cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			cl, err := f.client(c)
			if err == nil {
				err = writable(out)
			}
			if err != nil {
				return err
			}
			wish, err := k.wish(c)
			if err != nil {
				return err
			}
			var answer json.RawMessage
			if err := cl.do(c.Context(), "POST", "/api/apikeys", wish, &answer); err != nil {
				return err
			}
			return f.showNewKey(c, answer, out)
		})
	k.add(c)
	c.Flags().StringVar(&out, "out", "", "file to write the text to, with mode 0600; standard output if empty")
	return c
}

// showNewKey prints a new key, or writes its text to the file out and prints the rest: what
// goes to a file is on no screen and in no script's log.
func (f *flags) showNewKey(c *cobra.Command, answer json.RawMessage, out string) error {
	made := struct {
		ID  string `json:"id"`
		Key string `json:"key,omitempty"`
	}{}
	if err := json.Unmarshal(answer, &made); err != nil {
		return err
	}
	if out == "" {
		return f.show(c, answer, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "key %s\n%s\n", made.ID, made.Key)
			return err
		})
	}
	if err := writeSecret(out, []byte(made.Key+"\n")); err != nil {
		return err
	}
	made.Key = ""
	shown, err := json.Marshal(made)
	if err != nil {
		return err
	}
	return f.show(c, shown, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "key %s is in %s\n", made.ID, out)
		return err
	})
}

func (f *flags) setKey(path func(string) string) *cobra.Command {
	var k keyFlags
	c := leaf("set ID", "Changes what is given of an API key", `  postern apikey set 5f0c… --disable
  postern apikey set 5f0c… --expires-in 24h`, cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			wish, err := k.wish(c)
			if err != nil {
				return err
			}
			return f.decide(c, "PATCH", path(args[0]), wish)
		})
	k.add(c)
	c.Flags().BoolVar(&k.forever, "never-expires", false, "the key works until it is removed")
	c.Flags().BoolVar(&k.off, "disable", false, "the key is refused from now on")
	c.Flags().BoolVar(&k.on, "enable", false, "the key works again")
	c.MarkFlagsMutuallyExclusive("disable", "enable")
	c.MarkFlagsMutuallyExclusive("never-expires", "expires-in")
	return c
}

func printKeys(w io.Writer, answer []byte) error {
	var list struct{ APIKeys []apiKeyOut }
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	rows := [][]string{{"ID", "NAME", "ROLE", "FOR", "LAST USED", "STATE"}}
	for _, k := range list.APIKeys {
		rows = append(rows, []string{k.ID, k.Name, k.Role, cmp.Or(strings.Join(k.Envs, " "), "nothing"), day(k.Used, "never"), k.state()})
	}
	return table(w, rows)
}

// state says in a few words whether a key works.
func (k apiKeyOut) state() string {
	switch {
	case !k.Enabled:
		return "disabled"
	case k.Expires.IsZero():
		return "works"
	case k.Expires.Before(time.Now()):
		return "expired " + day(k.Expires, "")
	}
	return "works until " + day(k.Expires, "")
}

// day prints a time for people, or what stands for none.
func day(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.Local().Format(time.DateTime)
}
