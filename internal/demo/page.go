package demo

import (
	"context"
	"encoding/json"
	"html/template"
	"net"
	"net/http"
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
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: readTimeout}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	_ = srv.Serve(p.listener)
}

var listTemplate = template.Must(template.New("list").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="3"><title>Mailbox</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#1c2321;background:#f7f8f6}
article{background:#fff;border:1px solid #ccd3cf;border-radius:8px;padding:1rem;margin:1rem 0}pre{white-space:pre-wrap;overflow-wrap:anywhere;font:inherit;margin:.5rem 0 0}h2{font-size:1.1rem;margin:0}
.to{color:#56615c;margin:0}@media(prefers-color-scheme:dark){body{background:#161b19;color:#e6ebe8}article{background:#1f2623;border-color:#3a4540}.to{color:#a7b3ad}}</style></head>
<body><main><h1>Mailbox of the demo</h1><p>Every mail that the demo sends ends here, newest first. The page looks for new ones every three seconds.</p>
{{range .}}<article><h2>{{.Subject}}</h2><p class="to">to {{range $i, $a := .To}}{{if $i}}, {{end}}{{$a}}{{end}}, {{.At.Format "15:04:05"}}</p><pre>{{.Text}}</pre></article>{{else}}<p><em>No mail yet. Start a recovery, and its code comes here.</em></p>{{end}}
</main></body></html>`))

func (p *page) list(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
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
