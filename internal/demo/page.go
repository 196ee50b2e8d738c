package demo

import (
	"context"
	"encoding/json"
	"html/template"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/postern-id/postern/hub/notify/mailbox"
)

// A page shows the mails that were sent, for people and, as /messages.json, for scripts.
type page struct {
	mail     *mailbox.Server
	listener net.Listener
}

func newPage(m *mailbox.Server) (*page, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	return &page{m, l}, err
}

func (p *page) addr() string { return p.listener.Addr().String() }

// readTimeout bounds the header of a request to the page.
const readTimeout = 5 * time.Second

func (p *page) serve(ctx context.Context) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.list)
	mux.HandleFunc("GET /messages.json", p.messages)
	mux.HandleFunc("GET /mailbox.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write([]byte(lookAgain)) // a browser that left does not matter
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: readTimeout}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	_ = srv.Serve(p.listener)
}

var listTemplate = template.Must(template.New("list").Funcs(template.FuncMap{"links": links}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Mailbox</title><script type="module" src="/mailbox.js"></script>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#1c2321;background:#f7f8f6}
article{background:#fff;border:1px solid #ccd3cf;border-radius:8px;padding:1rem;margin:1rem 0}pre{white-space:pre-wrap;overflow-wrap:anywhere;font:inherit;margin:.5rem 0 0}h2{font-size:1.1rem;margin:0}
.to{color:#56615c;margin:0}a{color:inherit}@media(prefers-color-scheme:dark){body{background:#161b19;color:#e6ebe8}article{background:#1f2623;border-color:#3a4540}.to{color:#a7b3ad}}</style></head>
<body data-mails="{{len .}}"><main><h1>Mailbox of the demo</h1><p>Every mail that the demo sends ends here, newest first. The page looks for new ones every three seconds.</p>
{{range .}}<article><h2>{{.Subject}}</h2><p class="to">to {{range $i, $a := .To}}{{if $i}}, {{end}}{{$a}}{{end}}, {{.At.Format "15:04:05"}}</p><pre>{{range links .Text}}{{if .Href}}<a href="{{.Href}}" rel="noreferrer" target="_blank">{{.Text}}</a>{{else}}{{.Text}}{{end}}{{end}}</pre></article>{{else}}<p><em>No mail yet. Start a recovery, and its code comes here.</em></p>{{end}}
</main></body></html>`))

// lookAgain loads the page again when there is a new mail, and leaves people alone else.
const lookAgain = `setInterval(async () => {
  const mails = await fetch('/messages.json').then((r) => r.json()).catch(() => null);
  if (mails && mails.length !== Number(document.body.dataset.mails)) location.reload();
}, 3000);
`

// A span of a mail's text is plain, or a link.
type span struct{ Text, Href string }

var linkPattern = regexp.MustCompile(`https?://[^\s<>"]+`)

// links cuts a text at its links.
func links(text string) (spans []span) {
	for {
		at := linkPattern.FindStringIndex(text)
		if at == nil {
			return append(spans, span{Text: text})
		}
		spans = append(spans, span{Text: text[:at[0]]}, span{text[at[0]:at[1]], text[at[0]:at[1]]})
		text = text[at[1]:]
	}
}

func (p *page) list(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_ = listTemplate.Execute(w, p.mail.Messages())
}

// messages writes what scripts want to know, the newest first.
func (p *page) messages(w http.ResponseWriter, _ *http.Request) {
	type message struct {
		To      []string  `json:"to"`
		Subject string    `json:"subject"`
		Text    string    `json:"text"`
		At      time.Time `json:"at"`
	}
	all := []message{}
	for _, m := range p.mail.Messages() {
		all = append(all, message{m.To, m.Subject, m.Text, m.At})
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(all)
}
