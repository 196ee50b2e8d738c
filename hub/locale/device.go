package locale

import "strings"

// Names that a browser's User-Agent holds, in the order of asking: most browsers name
// the ones that they descend from as well.
var (
	browsers = [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	}
	systems = [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"},
		{"CrOS", "ChromeOS"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	}
)

// Device says in words what a User-Agent header claims: "Firefox, Windows". The result
// never holds text of the header itself, which anybody can write.
func (l *Language) Device(userAgent string) string {
	browser, system := named(browsers, userAgent), named(systems, userAgent)
	switch {
	case browser == "" && system == "":
		return l.Text("device.unknown")
	case browser == "" || system == "":
		return browser + system
	}
	return browser + ", " + system
}

func named(list [][2]string, text string) string {
	for _, row := range list {
		if strings.Contains(text, row[0]) {
			return row[1]
		}
	}
	return ""
}
