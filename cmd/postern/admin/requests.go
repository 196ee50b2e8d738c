package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// requestOut is what the API says of a request, as far as people are shown it.
type requestOut struct {
	ID, Label, Link string
	Status          string
	Created         time.Time `json:"created_at"`
	Expires         time.Time `json:"expires_at"`
}

func requestCommand(c *cobra.Command) {
	f := new(flags)
	f.on(c)
	group(c, f.createRequest(), f.listRequests(),
		leaf("get ID", "Shows a request with what was shared by it, as JSON", "  postern request get 5f0c…", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.ask(c, "GET", requestPath(args[0]), nil, indented)
			}),
		leaf("label ID TEXT", "Changes the label of a request", `  postern request label 5f0c… "ticket 4711"`, cobra.ExactArgs(2),
			func(c *cobra.Command, args []string) error {
				return f.decide(c, "PATCH", requestPath(args[0]), map[string]string{"label": args[1]})
			}),
		leaf("cancel ID", "Ends the link of a request", "  postern request cancel 5f0c…", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error { return f.decide(c, "DELETE", requestPath(args[0]), nil) }),
	)
}

func requestPath(id string) string { return "/api/requests/" + url.PathEscape(id) }

// asking is the body of a new request.
type asking struct {
	Env      string   `json:"env"`
	Template string   `json:"template,omitempty"`
	Claims   []string `json:"claims,omitempty"`
	Label    string   `json:"label,omitempty"`
	Phone    string   `json:"phone,omitempty"`
	WhatsApp string   `json:"whatsapp,omitempty"`
	Email    string   `json:"email,omitempty"`
	TTL      string   `json:"ttl,omitempty"`
	Uses     *int     `json:"max_usages,omitempty"`
}

func (f *flags) createRequest() *cobra.Command {
	var a asking
	var life time.Duration
	var uses int
	c := leaf("create", "Asks somebody who they are: makes a link, and sends it where you say", `  postern request create --claim name --claim birth_date --label "ticket 4711"
  postern request create --template 77aa… --phone +14155550100 --ttl 24h`, cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("max-usages") {
				a.Uses = &uses
			}
			if life != 0 {
				a.TTL = life.String()
			}
			return f.makeRequest(c, a)
		})
	p := c.Flags()
	p.StringArrayVar(&a.Claims, "claim", nil, "what is asked for, such as name or birth_date; may be repeated")
	p.StringVar(&a.Template, "template", "", "id of a template, in place of claims; the environment's default one if both are left out")
	p.StringVar(&a.Label, "label", "", "a note of yours, which the person does not see")
	p.StringVar(&a.Phone, "phone", "", "number to which the link goes by text message, as +14155550100")
	p.StringVar(&a.WhatsApp, "whatsapp", "", "number to which the link goes by WhatsApp")
	p.StringVar(&a.Email, "email", "", "address to which the link goes by mail")
	p.DurationVar(&life, "ttl", 0, "how long the link works; at most 168h, which is the default")
	p.IntVar(&uses, "max-usages", 1, "how many people may answer; 0 is no limit")
	return c
}

func (f *flags) makeRequest(c *cobra.Command, a asking) error {
	cl, err := f.client(c)
	if err != nil {
		return err
	}
	if a.Env, err = cl.environment(c.Context(), f.env); err != nil {
		return err
	}
	return f.send(c, cl, "POST", "/api/requests", a, func(w io.Writer, answer []byte) error {
		var made struct{ ID, Link string }
		if err := json.Unmarshal(answer, &made); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "request %s\n%s\n", made.ID, made.Link)
		return err
	})
}

func (f *flags) listRequests() *cobra.Command {
	var q, status, updated, sort string
	var count, offset int
	c := leaf("list", "Lists requests of an environment, the newest first", `  postern request list --status active
  postern request list --query "ticket 4711" --json`, cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			p := url.Values{"count": {strconv.Itoa(count)}, "offset": {strconv.Itoa(offset)}}
			for name, value := range map[string]string{"q": q, "statusFilter": status, "updatedAt": updated, "sort": sort} {
				if value != "" {
					p.Set(name, value)
				}
			}
			return f.askEnv(c, "GET", "/requests?"+p.Encode(), nil, printRequests)
		})
	fl := c.Flags()
	fl.StringVar(&q, "query", "", "words of the label")
	fl.StringVar(&status, "status", "", "active, expired, hideExpired, rejectedAll or rejectedFraud")
	fl.StringVar(&updated, "updated", "", "today, week, month, lastmonth or year")
	fl.StringVar(&sort, "sort", "", "last_created, last_updated, -last_created or -last_updated")
	fl.IntVar(&count, "count", 50, "how many")
	fl.IntVar(&offset, "offset", 0, "how many to leave out first")
	return c
}

func printRequests(w io.Writer, answer []byte) error {
	var list struct {
		Requests []requestOut
		Next     int `json:"next_offset"`
		Total    int `json:"total_result_count"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	rows := [][]string{{"ID", "STATUS", "MADE", "LABEL"}}
	for _, r := range list.Requests {
		rows = append(rows, []string{r.ID, r.Status, r.Created.Local().Format(time.DateTime), r.Label})
	}
	if err := table(w, rows); err != nil || list.Next == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "%d of %d; the next ones: --offset %d\n", len(list.Requests), list.Total, list.Next)
	return err
}
