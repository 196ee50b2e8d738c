package request

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAPhoneIsToldByItsBrowser(t *testing.T) {
	for agent, want := range map[string]*Mobile{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1": {OS: "iOS", Version: "17.5.1", IOS: true},
		"Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Mobile Safari/537.36":                     {OS: "Android", Version: "14", Android: true},
		"Mozilla/5.0 (Android 13; Mobile; rv:126.0) Gecko/126.0 Firefox/126.0":                                                                      {OS: "Android", Version: "13", Android: true},
		"Mozilla/5.0 (Linux; Android 14; SM-X200) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36":                            nil, // a tablet
		"Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1 Mobile/15E148 Safari/604.1":            nil,
		"Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0":                                                                    nil,
	} {
		b, m := clientOf(agentText(agent))
		if b == nil || b.UserAgent != agent || (m == nil) != (want == nil) || m != nil && *m != *want {
			t.Errorf("%s: %+v %+v", agent, b, m)
		}
	}
	if b, m := clientOf(""); b != nil || m != nil {
		t.Errorf("no header: %+v %+v", b, m)
	}
}

func FuzzAgentText(f *testing.F) {
	f.Add("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)")
	f.Add("a\r\nb\xff" + strings.Repeat("ü", maxAgent))
	f.Fuzz(func(t *testing.T, header string) {
		kept := agentText(header)
		if len(kept) > maxAgent || !utf8.ValidString(kept) || strings.ContainsAny(kept, "\r\n\x00") {
			t.Errorf("%q", kept)
		}
		if b, m := clientOf(kept); m != nil && (b == nil || m.IOS == m.Android || m.Version == "") {
			t.Errorf("%q: %+v", kept, m)
		}
	})
}
