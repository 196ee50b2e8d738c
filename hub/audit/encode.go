package audit

import (
	"encoding/json"
	"maps"
	"slices"
)

// usualLeaf is room for a leaf that most fit in.
const usualLeaf = 768

// encode returns what encoding/json makes of the leaf, with the detail behind it, byte for
// byte: it is written with every event, and checked by those who have the bytes.
func (l leaf) encode() ([]byte, error) {
	at, err := l.Time.MarshalJSON()
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, usualLeaf), `{"id":`...)
	b = append(appendText(b, l.ID), `,"time":`...)
	b = append(append(b, at...), `,"kind":`...)
	b = append(appendText(b, string(l.Kind)), `,"trace":`...)
	b = appendText(b, l.Trace)
	if l.Truncated {
		b = append(b, `,"truncated":true`...)
	}
	b = appendMember(b, "remote_addr", l.Remote)
	b = appendMember(b, "user_agent", l.UserAgent)
	b = appendText(append(b, `,"org":`...), l.Org)
	b = appendMember(b, "env", l.Env)
	if l.Principal != nil {
		b = l.Principal.append(append(b, `,"principal":`...))
	}
	b = appendMember(b, "account", l.Account)
	if l.Personal != nil {
		b = l.Personal.append(append(b, `,"personal":`...))
	}
	b = append(appendText(append(b, ','), string(l.Kind)), ':')
	return append(append(b, l.Detail...), '}'), nil
}

func (p *Principal) append(b []byte) []byte {
	start := len(b)
	b = append(b, '{')
	for _, m := range [...]struct{ name, value string }{{"role", p.Role}, {"org_member", p.OrgMember}, {"org_member_email", p.Email}, {"api_key", p.APIKey},
		{"subject", p.Subject}, {"agent", p.Agent}, {"system", p.System}} {
		b = appendMember(b, m.name, m.value)
	}
	if len(b) > start+1 {
		b = slices.Delete(b, start+1, start+2) // the first comma
	}
	return append(b, '}')
}

func (p *personal) append(b []byte) []byte {
	b = appendText(append(b, `{"person":`...), p.Person)
	b = appendText(append(b, `,"key":`...), p.Key)
	return append(appendTexts(append(b, `,"members":`...), p.Members), '}')
}

// appendMember appends a further member of an object, unless it is empty. The name needs
// no escapes.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, ',', '"'), name...), '"', ':')
	return appendText(b, value)
}

// appendTexts appends an object of texts, in the order of their names.
func appendTexts(b []byte, members map[string]string) []byte {
	if members == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, name), ':')
		b = appendText(b, members[name])
	}
	return append(b, '}')
}

// appendText appends a text. Where it has to be escaped, encoding/json knows how.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			escaped, _ := json.Marshal(text) // of a text it never fails
			return append(b, escaped...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}
