package request

import (
	"regexp"
	"strings"
	"unicode"
)

// Browser is the wire type RequestBrowser. Its address is there where IPLocation was asked
// for, and where that is only as far as the operator's table says it.
type Browser struct {
	UserAgent string    `json:"user_agent"`
	Address   string    `json:"remote_address,omitempty"`
	Location  *Location `json:"remote_address_location,omitempty"`
}

// Mobile is the wire type RequestMobileDevice, of a phone. There is no app.
type Mobile struct {
	OS         string `json:"os"`
	Version    string `json:"version"`
	IOS        bool   `json:"ios"`
	Android    bool   `json:"android"`
	FullApp    bool   `json:"full_app"`
	AppClip    bool   `json:"app_clip"`
	InstantApp bool   `json:"instant_app"`

	Address  string    `json:"remote_address,omitempty"` // as of Browser
	Location *Location `json:"remote_address_location,omitempty"`
}

// maxAgent bounds what is kept of a User-Agent header, in bytes.
const maxAgent = 512

// agentText is what is kept of a User-Agent header: one line of text.
func agentText(agent string) string {
	agent = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(agent[:min(len(agent), maxAgent)], ""))
	return agent
}

// What browsers on phones say of their system. Those on tablets leave out Mobile, or
// say iPad.
var (
	iphone  = regexp.MustCompile(`\(iPhone;.*? OS (\d{1,3}(?:_\d{1,3}){0,3}) like Mac OS X`)
	android = regexp.MustCompile(`; Android (\d{1,3}(?:\.\d{1,3}){0,3})[;)].* Mobile `)
	firefox = regexp.MustCompile(`\(Android (\d{1,3}(?:\.\d{1,3}){0,3}); Mobile;`)
)

// clientOf reads a kept User-Agent; nil, nil if there is none.
func clientOf(agent string) (*Browser, *Mobile) {
	if agent == "" {
		return nil, nil
	}
	b := &Browser{UserAgent: agent}
	if m := iphone.FindStringSubmatch(agent); m != nil {
		return b, &Mobile{OS: "iOS", Version: strings.ReplaceAll(m[1], "_", "."), IOS: true}
	}
	for _, one := range []*regexp.Regexp{android, firefox} {
		if m := one.FindStringSubmatch(agent); m != nil {
			return b, &Mobile{OS: "Android", Version: m[1], Android: true}
		}
	}
	return b, nil
}
