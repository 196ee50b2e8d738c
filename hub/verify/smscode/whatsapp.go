package smscode

// WhatsApp is how links go to people there: a request, or the preset, in the form of
// Settings. Countries and limits are those of text messages.
type WhatsApp struct {
	Twilio   *Twilio           `json:"twilio,omitempty"` // its number without whatsapp: before it
	URL      string            `json:"url,omitempty"`
	Method   string            `json:"method,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Body     string            `json:"body,omitempty"`
	User     string            `json:"user,omitempty"`
	Password string            `json:"password,omitempty"`
	Secrets  map[string]string `json:"secrets,omitempty"`
}

// whatsAppPrefix stands before numbers in Twilio's form.
const whatsAppPrefix = "whatsapp:"

// overWhatsApp are the settings with the way to WhatsApp in place of that to phones.
func (s Settings) overWhatsApp() Settings {
	w := s.WhatsApp
	s.Twilio, s.URL, s.Method, s.Headers, s.Body, s.User, s.Password, s.Secrets = w.Twilio, w.URL, w.Method, w.Headers, w.Body, w.User, w.Password, w.Secrets
	s.WhatsApp, s.prefix = nil, whatsAppPrefix
	return s
}
