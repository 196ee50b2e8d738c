package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// wishes are the flags of presign, those of the public reference first.
type wishes struct {
	email, flow             string
	operations, directories []string
	policies                []string
	ttl                     time.Duration
	oneShot                 bool
	domain                  string
}

func selfServiceCommand(c *cobra.Command) {
	f := new(flags)
	f.on(c)
	var w wishes
	presign := leaf("presign", "Makes a link that admits to the recovery site", `  postern self-service presign --email alice@example.com --operation mfa --ttl 1h
  postern self-service presign --flow enroll --one-shot
  postern -e 5f0c… self-service presign --operation password --operation unlock --directory 77aa…`, cobra.NoArgs,
		func(c *cobra.Command, _ []string) error { return f.presign(c, w) })
	fl := presign.Flags()
	fl.StringVar(&w.email, "email", "*", `address of the employee; "*" for anybody needs the owner's key`)
	fl.StringArrayVar(&w.operations, "operation", nil, "mfa, password, unlock or temporary-access-pass; may be repeated; any if left out")
	fl.StringArrayVar(&w.directories, "directory", nil, "id of a directory; may be repeated; any if left out")
	fl.StringVar(&w.flow, "flow", "", "recover or enroll, which change words only, or badge, for a photo")
	fl.DurationVar(&w.ttl, "ttl", time.Hour, "how long the link admits")
	fl.StringArrayVar(&w.policies, "recovery-policy", nil, "OPERATION=POLICY, stricter than the directory's, such as mfa=name_and_birth_date; may be repeated")
	fl.BoolVar(&w.oneShot, "one-shot", false, "the link begins one recovery, not several")
	fl.StringVar(&w.domain, "domain", "", "which of the environment's recovery domains; the first if left out")
	group(c, presign)
}

// body is what the API is asked.
func (w wishes) body() (map[string]any, error) {
	b := map[string]any{"email": w.email, "ttl": w.ttl.String(), "flow": w.flow}
	if len(w.operations) > 0 {
		b["operations"] = w.operations
	}
	if len(w.directories) > 0 {
		b["directories"] = w.directories
	}
	policy := map[string]string{}
	for _, p := range w.policies {
		operation, strength, ok := strings.Cut(p, "=")
		if !ok {
			return nil, fmt.Errorf("--recovery-policy %q: want OPERATION=POLICY", p)
		}
		policy[operation] = strength
	}
	if len(policy) > 0 {
		b["recovery_policy"] = policy
	}
	if w.oneShot {
		b["one_shot"] = true
	}
	if w.domain != "" {
		b["domain"] = w.domain
	}
	return b, nil
}

func (f *flags) presign(c *cobra.Command, w wishes) error {
	body, err := w.body()
	if err != nil {
		return err
	}
	return f.askEnv(c, "POST", "/recovery_microsite/presign", body, func(out io.Writer, answer []byte) error {
		var link struct{ URL string }
		if err := json.Unmarshal(answer, &link); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, link.URL)
		return err
	})
}
