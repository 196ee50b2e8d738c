package caddymodule

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// An option is one line of a block. Its form is help text and arity: the name, then
// words in angle brackets for arguments (with dots: one or more), plain words that
// stand as they are, and { … } if a block follows.
type option[T any] struct {
	form  string
	set   func(*T, []string)
	block func(*T, *caddyfile.Dispenser) error
}

// name returns the word that the line begins with.
func (o option[T]) name() string { return strings.Fields(o.form)[0] }

// options are the lines of the global option "postern".
var options = []option[App]{
	{form: "data_dir <path>", set: func(a *App, v []string) { a.DataDir = v[0] }},
	{form: "master_key file <path>", set: func(a *App, v []string) { a.MasterKeyFile = v[0] }},
	{form: "master_key credential <name>", set: func(a *App, v []string) { a.MasterKeyCredential = v[0] }},
	{form: "store <postgres-url>", set: func(a *App, v []string) { a.Store = v[0] }},
	{form: "redis <redis-url>", set: func(a *App, v []string) { a.Redis = v[0] }},
	{form: "public_url <https-url>", set: func(a *App, v []string) { a.PublicURL = v[0] }},
	{form: "cname_target <host>", set: func(a *App, v []string) { a.CNAMETarget = v[0] }},
	{form: "smtp <host:port> { … }", set: func(a *App, v []string) { a.SMTP = &SMTP{Host: v[0]} },
		block: func(a *App, d *caddyfile.Dispenser) error { return parseBlock(d, smtpOptions, a.SMTP) }},
	{form: "resolvers <host[:port]...>", set: func(a *App, v []string) { a.Resolvers = v }},
	{form: "recovery_option_wait <duration>", set: func(a *App, v []string) { a.RecoveryOptionWait = v[0] }},
	{form: "audit_retention <duration>", set: func(a *App, v []string) { a.AuditRetention = v[0] }},
	{form: "wallet_link <url>", set: func(a *App, v []string) { a.WalletLink = v[0] }},
	{form: "signer <unix//socket>", set: func(a *App, v []string) { a.Signer = v[0] }},
	{form: "places <mmdb-file>", set: func(a *App, v []string) { a.Places = v[0] }},
	{form: "entra_authority <url>", set: func(a *App, v []string) { a.EntraAuthority = v[0] }},
	{form: "allow_private_webhooks <network...>", set: func(a *App, v []string) { a.AllowPrivateWebhooks = v }},
}

// smtpOptions are the lines of the block "smtp".
var smtpOptions = []option[SMTP]{
	{form: "from <address>", set: func(s *SMTP, v []string) { s.From = v[0] }},
	{form: "user <name>", set: func(s *SMTP, v []string) { s.User = v[0] }},
	{form: "password_file <path>", set: func(s *SMTP, v []string) { s.PasswordFile = v[0] }},
	{form: "tls <starttls|implicit|off>", set: func(s *SMTP, v []string) { s.TLS = v[0] }},
}

// parseApp reads the global option into the app's JSON.
func parseApp(d *caddyfile.Dispenser, former any) (any, error) {
	d.Next()
	if former != nil {
		return nil, d.Err("postern stands twice among the global options")
	}
	if args := d.RemainingArgs(); len(args) > 0 {
		return nil, d.Errf("postern takes no argument but a block, not %q", args[0])
	}
	a := new(App)
	if err := parseBlock(d, options, a); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(a, nil)}, nil
}

// parseBlock reads the lines of the block that follows into v. A line may stand once.
func parseBlock[T any](d *caddyfile.Dispenser, table []option[T], v *T) error {
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if seen[name] {
			return d.Errf("%s stands twice", name)
		}
		seen[name] = true
		if err := parseLine(d, table, v, name); err != nil {
			return err
		}
	}
	return nil
}

// parseLine reads the line that begins with name.
func parseLine[T any](d *caddyfile.Dispenser, table []option[T], v *T, name string) error {
	args := d.RemainingArgs()
	var forms []string
	for _, o := range table {
		if o.name() != name {
			continue
		}
		forms = append(forms, o.form)
		values, ok := match(o.form, args)
		if !ok {
			continue
		}
		o.set(v, values)
		if o.block != nil {
			return o.block(v, d)
		}
		return nil
	}
	if forms == nil {
		return d.Errf("unknown option %q; the nearest is: %s", name, nearest(name, table))
	}
	return d.Errf("%s: want: %s", name, strings.Join(forms, ", or: "))
}

// match holds the arguments of a line against a form and returns the values of what
// stands in angle brackets.
func match(form string, args []string) (values []string, ok bool) {
	form, _, _ = strings.Cut(form, " {")
	for _, word := range strings.Fields(form)[1:] {
		switch {
		case strings.HasSuffix(word, "...>"):
			return append(values, args...), len(args) > 0
		case len(args) == 0:
			return nil, false
		case strings.HasPrefix(word, "<"):
			values = append(values, args[0])
		case args[0] != word:
			return nil, false
		}
		args = args[1:]
	}
	return values, len(args) == 0
}

// nearest returns the form whose name is the fewest edits away.
func nearest[T any](name string, table []option[T]) string {
	best := slices.MinFunc(table, func(x, y option[T]) int {
		return distance(name, x.name()) - distance(name, y.name())
	})
	return best.form
}

// distance counts the insertions, deletions and replacements that make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// noArguments reads a directive or module whose name stands alone.
func noArguments(d *caddyfile.Dispenser) error {
	d.Next()
	name := d.Val()
	if d.NextArg() || d.NextBlock(0) {
		return d.Errf("%s takes no arguments and no block; settings belong into the global option postern", name)
	}
	return nil
}
