package agent

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// SMSConfig is the table [sms]: a service that takes text messages over HTTP, for codes
// that the hub never sees. Without URL and Twilio account the agent sends none. In URL,
// header values and body {to}, {text} and {secret} are filled in, escaped for where they
// stand.
type SMSConfig struct {
	URL     string            `toml:"url"`
	Body    string            `toml:"body"` // JSON, or a form; empty: everything stands in the address
	Headers map[string]string `toml:"headers"`
	User    string            `toml:"user"` // for Basic authentication with the secret
	// TwilioAccount makes it a request in Twilio's form, with From as its sender (a number,
	// or a messaging service's id), to URL or Twilio's own address.
	TwilioAccount string `toml:"twilio_account"`
	From          string `toml:"from"`
	SecretFile    string `toml:"secret_file"`
	CAFile        string `toml:"ca_file"` // certificates (PEM) that are trusted besides the system's
	// Prefixes are where messages go, "+4915" and the like, and nowhere else.
	Prefixes []string `toml:"prefixes"`
	// Prefer sends the code to a phone where the account has one that counts; otherwise
	// phones get it only where no mail address counts.
	Prefer bool `toml:"prefer"`
	PerDay int  `toml:"per_day"` // messages of this agent; 0: smsPerDay
}

// smsPerDay is how many messages an agent sends a day unless the file says otherwise.
const smsPerDay = 200

const twilioServer = "https://api.twilio.com"

var (
	phonePrefix = regexp.MustCompile(`^\+[1-9][0-9]{0,14}$`)
	headerName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
)

// on reports whether the agent sends text messages.
func (s SMSConfig) on() bool { return s.URL != "" || s.TwilioAccount != "" }

func (s SMSConfig) check() error {
	if !s.on() {
		if s.Body != "" || len(s.Prefixes) > 0 || s.SecretFile != "" {
			return errors.New("sms: name a url, or a twilio_account")
		}
		return nil
	}
	if len(s.Prefixes) == 0 {
		return errors.New("sms.prefixes: list where messages go, such as [\"+4915\", \"+4916\", \"+4917\"]; they go nowhere else, which keeps premium numbers from running up your bill")
	}
	for _, p := range s.Prefixes {
		if !phonePrefix.MatchString(p) {
			return fmt.Errorf("sms.prefixes: %q; want the beginning of a number, such as +4917", p)
		}
	}
	if s.PerDay < 0 {
		return errors.New("sms.per_day: want a number of messages")
	}
	if err := s.checkURL(); err != nil {
		return err
	}
	if s.TwilioAccount != "" {
		return s.checkTwilio()
	}
	return s.checkRequest()
}

// checkURL wants https, or a service on this machine: a code must not cross the network
// in clear.
func (s SMSConfig) checkURL() error {
	if s.URL == "" {
		return nil
	}
	u, err := url.Parse(strings.NewReplacer("{", "", "}", "").Replace(s.URL))
	authority, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(s.URL, "https://"), "http://"), "/")
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(authority, "{}"):
		return errors.New("sms.url: want an address such as https://sms.example.com/send; user and password have keys of their own")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return errors.New("sms.url: want https; http is for a service on this machine")
	}
	return nil
}

func (s SMSConfig) checkTwilio() error {
	switch {
	case s.From == "" || s.SecretFile == "":
		return errors.New("sms: twilio_account goes with from, and secret_file with the auth token")
	case s.Body != "" || len(s.Headers) > 0 || s.User != "":
		return errors.New("sms: want either twilio_account or a request of your own")
	}
	return nil
}

func (s SMSConfig) checkRequest() error {
	if !strings.Contains(s.URL+s.Body, "{to}") || !strings.Contains(s.URL+s.Body, "{text}") {
		return errors.New("sms: url or body must hold {to} and {text}")
	}
	for name, value := range s.Headers {
		if !headerName.MatchString(name) || strings.ContainsAny(value, "\r\n") || strings.Contains(value, "{to}") || strings.Contains(value, "{text}") {
			return fmt.Errorf("sms.headers: %q cannot be sent; {to} and {text} stand in url or body", name)
		}
	}
	if s.SecretFile == "" && (s.User != "" || strings.Contains(s.URL+s.Body, "{secret}")) {
		return errors.New("sms.secret_file is missing")
	}
	return nil
}
