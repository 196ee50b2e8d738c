package smscode

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Settings are how an environment sends text messages: a request to a service over
// HTTP, or the preset of one. In URL, header values and body {to}, {text} and the names
// of Secrets in braces are filled in, escaped for where they stand.
type Settings struct {
	Twilio   *Twilio           `json:"twilio,omitempty"` // instead of the request
	URL      string            `json:"url,omitempty"`
	Method   string            `json:"method,omitempty"` // POST when empty
	Headers  map[string]string `json:"headers,omitempty"`
	Body     string            `json:"body,omitempty"`
	User     string            `json:"user,omitempty"` // for Basic authentication
	Password string            `json:"password,omitempty"`
	Secrets  map[string]string `json:"secrets,omitempty"`

	WhatsApp *WhatsApp `json:"whatsapp,omitempty"` // how links go there; nil: they do not

	Countries  []string `json:"countries,omitempty"`    // ISO 3166-1 alpha-2; messages go nowhere else
	Home       string   `json:"home_country,omitempty"` // of numbers that the directory writes without one
	PerDay     int      `json:"per_day,omitempty"`      // messages of the environment; 0: DefaultPerDay
	PerCountry int      `json:"per_country,omitempty"`  // a day, to one country; 0: PerDay

	prefix string // before numbers in Twilio's form
}

// Twilio is the preset of a service that many others imitate.
type Twilio struct {
	Account string `json:"account_sid"`
	Token   string `json:"auth_token"`
	From    string `json:"from"`          // number, name, or id of a messaging service (MG…)
	URL     string `json:"url,omitempty"` // another service of the same form; "": Twilio's own
}

// DefaultPerDay is how many messages an environment sends a day unless it says otherwise.
const DefaultPerDay = 500

// Bounds of settings.
const (
	maxPerDay    = 1_000_000
	maxText      = 4096
	maxURL       = 2048
	maxEntries   = 16
	twilioServer = "https://api.twilio.com"
)

var (
	secretName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	headerName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
)

// Check reports the first thing that an administrator must mend.
func (s Settings) Check() error {
	if len(s.Countries) == 0 {
		return errors.New("smscode: countries: list those to which messages go, like [\"DE\", \"AT\"]; nowhere else do they, which keeps others from running up your bill")
	}
	for _, c := range s.Countries {
		if !knownCountry(c) {
			return fmt.Errorf("smscode: countries: %.10q is not a country's two letters", c)
		}
	}
	switch {
	case s.Home != "" && !slices.Contains(s.Countries, s.Home):
		return errors.New("smscode: home_country must be one of countries")
	case s.PerDay < 0 || s.PerDay > maxPerDay || s.PerCountry < 0 || s.PerCountry > maxPerDay:
		return fmt.Errorf("smscode: per_day and per_country: at most %d", maxPerDay)
	}
	if err := s.checkRoute(); err != nil || s.WhatsApp == nil {
		return err
	}
	if err := s.overWhatsApp().checkRoute(); err != nil {
		return fmt.Errorf("smscode: whatsapp: %s", strings.TrimPrefix(err.Error(), "smscode: "))
	}
	return nil
}

func (s Settings) checkRoute() error {
	if s.Twilio != nil {
		return s.checkTwilio()
	}
	return s.checkRequest()
}

func (s Settings) checkTwilio() error {
	t := s.Twilio
	switch {
	case s.URL != "" || s.Body != "" || s.Method != "" || len(s.Headers) > 0 || len(s.Secrets) > 0 || s.User != "" || s.Password != "":
		return errors.New("smscode: want either twilio or a request of your own")
	case t.Account == "" || t.Token == "" || t.From == "" || len(t.Account)+len(t.Token)+len(t.From) > maxText:
		return errors.New("smscode: twilio wants account_sid, auth_token and from")
	case strings.ContainsAny(t.Account, "/?#") || t.URL != "" && !isAddress(t.URL):
		return errors.New("smscode: twilio: account_sid or url is of another form")
	}
	return nil
}

func (s Settings) checkRequest() error {
	switch {
	case !isAddress(s.URL):
		return errors.New("smscode: url: want an address like https://sms.example.com/send")
	case s.Method != "" && s.Method != http.MethodPost && s.Method != http.MethodPut && s.Method != http.MethodGet:
		return errors.New("smscode: method: POST, PUT or GET")
	case len(s.Body) > maxText || len(s.Headers) > maxEntries || len(s.Secrets) > maxEntries || len(s.User)+len(s.Password) > maxText:
		return errors.New("smscode: too long")
	case !strings.Contains(s.URL+s.Body, "{to}") || !strings.Contains(s.URL+s.Body, "{text}"):
		return errors.New("smscode: url or body must hold {to} and {text}")
	}
	for name, value := range s.Headers {
		if !headerName.MatchString(name) || len(value) > maxText || strings.ContainsAny(value, "\r\n") || strings.Contains(value, "{to}") || strings.Contains(value, "{text}") {
			return fmt.Errorf("smscode: headers: %.64q cannot be sent; {to} and {text} stand in url or body", name)
		}
	}
	for name, value := range s.Secrets {
		if !secretName.MatchString(name) || name == "to" || name == "text" || value == "" || len(value) > maxText {
			return fmt.Errorf("smscode: secrets: %.40q wants a name in small letters and a value", name)
		}
	}
	return nil
}

// isAddress reports whether text, with what is filled in later, is an address of a
// service whose host is fixed.
func isAddress(text string) bool {
	u, err := url.Parse(strings.NewReplacer("{", "", "}", "").Replace(text))
	authority, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(text, "https://"), "http://"), "/")
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && u.Fragment == "" &&
		len(text) <= maxURL && !strings.ContainsAny(authority, "{}")
}

// Number reads a number, and refuses one that messages do not go to here.
func (s Settings) Number(text string) (Number, error) {
	n, err := ParseNumber(text, s.Home)
	if err == nil && !slices.Contains(s.Countries, n.Country) {
		err = ErrCountry
	}
	return n, err
}

// Shown returns the settings without anything secret: header values may be.
func (s Settings) Shown() Settings {
	if s.WhatsApp != nil {
		o := s.overWhatsApp().Shown()
		s.WhatsApp = &WhatsApp{o.Twilio, o.URL, o.Method, o.Headers, o.Body, o.User, "", o.Secrets}
	}
	if s.Twilio != nil {
		t := *s.Twilio
		t.Token = ""
		s.Twilio = &t
	}
	s.Password = ""
	s.Headers, s.Secrets = blank(s.Headers), blank(s.Secrets)
	return s
}

func blank(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for name := range m {
		out[name] = ""
	}
	return out
}

func (s Settings) perDay() int {
	if s.PerDay > 0 {
		return s.PerDay
	}
	return DefaultPerDay
}

func (s Settings) perCountry() int {
	if s.PerCountry > 0 {
		return s.PerCountry
	}
	return s.perDay()
}
