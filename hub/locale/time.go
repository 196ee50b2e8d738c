package locale

import (
	"strconv"
	"strings"
	"time"
)

// Date returns the day in words and figures, in the time's own zone.
func (l *Language) Date(t time.Time) string {
	return l.Text("time.date", "day", strconv.Itoa(t.Day()), "month", l.month(t.Month()), "year", strconv.Itoa(t.Year()))
}

// DateTime returns day, time of day and zone, in the time's own zone: a server does not
// know its reader's, so the zone always stands beside it, and pages put the reader's in
// its place where they can.
func (l *Language) DateTime(t time.Time) string {
	return l.Text("time.datetime", "date", l.Date(t), "time", t.Format("15:04"), "zone", zone(t))
}

// Clock returns time of day and zone.
func (l *Language) Clock(t time.Time) string {
	return l.Text("time.clock", "time", t.Format("15:04"), "zone", zone(t))
}

func (l *Language) month(m time.Month) string {
	names := strings.Fields(l.Text("time.months"))
	if len(names) != 12 {
		return strconv.Itoa(int(m))
	}
	return names[m-1]
}

// zone names the zone; one without a name is written as its offset.
func zone(t time.Time) string {
	name, _ := t.Zone()
	if name == "" || name[0] == '+' || name[0] == '-' {
		return "UTC" + t.Format("-07:00")
	}
	return name
}

// Duration returns a length of time as a person says it: whole seconds below a minute,
// whole minutes below two hours, whole hours below two days, else days, rounded up.
func (l *Language) Duration(d time.Duration) string {
	unit := func(size time.Duration) int { return int((d + size - 1) / size) }
	switch {
	case d <= 0:
		return l.Text("time.seconds", "n", 0)
	case d < time.Minute:
		return l.Text("time.seconds", "n", unit(time.Second))
	case d < 2*time.Hour:
		return l.Text("time.minutes", "n", unit(time.Minute))
	case d < 48*time.Hour:
		return l.Text("time.hours", "n", unit(time.Hour))
	}
	return l.Text("time.days", "n", unit(24*time.Hour))
}
