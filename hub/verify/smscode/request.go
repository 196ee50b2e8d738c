package smscode

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
)

// request writes the request that gives the service a message.
func (s Settings) request(ctx context.Context, to, text string) (*http.Request, error) {
	if s.Twilio != nil {
		return s.Twilio.request(ctx, s.prefix, to, text)
	}
	method := s.Method
	if method == "" {
		method = http.MethodPost
	}
	body := s.fill(s.Body, to, text, escapeFor(s.contentType()))
	r, err := http.NewRequestWithContext(ctx, method, s.fill(s.URL, to, text, url.QueryEscape), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range s.Headers {
		r.Header.Set(name, s.fill(value, "", "", plain))
	}
	if s.Body != "" {
		r.Header.Set("Content-Type", s.contentType())
	}
	if s.User != "" {
		r.SetBasicAuth(s.User, s.Password)
	}
	return r, nil
}

// fill puts values into a text, escaped. What is filled in is not read again.
func (s Settings) fill(template, to, text string, escape func(string) string) string {
	pairs := []string{"{to}", escape(to), "{text}", escape(text)}
	for name, value := range s.Secrets {
		pairs = append(pairs, "{"+name+"}", escape(value))
	}
	return strings.NewReplacer(pairs...).Replace(template)
}

// contentType is what the body says it is; a body that begins like JSON is JSON.
func (s Settings) contentType() string {
	for name, value := range s.Headers {
		if strings.EqualFold(name, "Content-Type") {
			return value
		}
	}
	if strings.HasPrefix(strings.TrimSpace(s.Body), "{") {
		return "application/json"
	}
	return "application/x-www-form-urlencoded"
}

// escapeFor returns how values stand in a body of a type.
func escapeFor(contentType string) func(string) string {
	switch kind, _, _ := strings.Cut(contentType, ";"); strings.TrimSpace(strings.ToLower(kind)) {
	case "application/json":
		return func(v string) string {
			b, _ := json.Marshal(v) // of a string never fails
			return string(b[1 : len(b)-1])
		}
	case "application/xml", "text/xml":
		return func(v string) string {
			var b bytes.Buffer
			_ = xml.EscapeText(&b, []byte(v)) // nor does this
			return b.String()
		}
	case "text/plain":
		return plain
	}
	return url.QueryEscape
}

func plain(v string) string { return v }

// request is Twilio's "Create a Message resource". prefix stands before numbers that are
// not phones.
func (t Twilio) request(ctx context.Context, prefix, to, text string) (*http.Request, error) {
	server := t.URL
	if server == "" {
		server = twilioServer
	}
	form := url.Values{"To": {prefix + to}, "Body": {text}}
	if strings.HasPrefix(t.From, "MG") {
		form.Set("MessagingServiceSid", t.From)
	} else {
		form.Set("From", prefix+t.From)
	}
	address := strings.TrimSuffix(server, "/") + "/2010-04-01/Accounts/" + url.PathEscape(t.Account) + "/Messages.json"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(t.Account, t.Token)
	return r, nil
}
