package schedule

import (
	"strings"
	"time"

	cron "github.com/netresearch/go-cron"
)

const (
	maxCronLen = 256
	// searchYears reaches over the eight years without a leap day around 2100.
	searchYears = 9
	allHours    = 1<<24 - 1
	// starBit is how the parser marks a field without restriction.
	starBit = 1 << 63
)

// The parser gets no time zone: it works on wall-clock time written as UTC, where no hour is skipped or
// repeated. What daylight saving does is decided below.
var parser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom).
	WithMaxSearchYears(searchYears)

var nicknames = map[string]string{
	"@hourly":   "0 * * * *",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@weekly":   "0 0 * * 0",
	"@monthly":  "0 0 1 * *",
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
}

func parseCron(text string, zone *time.Location) (Schedule, error) {
	if len(text) > maxCronLen {
		return nil, invalid("cron", "has %d characters, more than %d", len(text), maxCronLen)
	}
	expr := strings.ToLower(strings.Join(strings.Fields(text), " ")) // in upper case the parser takes THU for a hash
	if plain, ok := nicknames[expr]; ok {
		expr = plain
	}
	wall, err := parseFields(text, expr)
	if err != nil {
		return nil, err
	}
	if wall.Hour&allHours == allHours {
		return elapsed{wall, zone}, nil
	}
	return daily{wall, zone}, nil
}

func parseFields(text, expr string) (*cron.SpecSchedule, error) {
	if strings.HasPrefix(expr, "@every") {
		return nil, invalid("cron", "%q: write the interval as every: 90s instead", text)
	}
	if strings.Contains(expr, "tz=") {
		return nil, invalid("cron", "%q: name the time zone in timezone instead", text)
	}
	fields := strings.Fields(expr)
	if len(fields) != 5 {
		return nil, invalid("cron", "%q has %d fields, want five: minute hour day-of-month month day-of-week", text, len(fields))
	}
	parsed, err := parser.Parse(expr)
	if err != nil {
		return nil, invalid("cron", "%q: %v", text, err)
	}
	wall, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, invalid("cron", "%q is not made of fields", text)
	}
	wall.Location = time.UTC
	unrestrict(wall, fields)
	if wall.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, invalid("cron", "%q never comes", text)
	}
	return wall, nil
}

// unrestrict does what crontab(5) says: a day field that begins with a star, also "*/2", leaves the decision
// to the other one; two day fields without a star are alternatives.
func unrestrict(wall *cron.SpecSchedule, fields []string) {
	if strings.HasPrefix(fields[2], "*") {
		wall.Dom |= starBit
	}
	if strings.HasPrefix(fields[4], "*") {
		wall.Dow |= starBit
	}
}

// daily is an expression that names hours. Wall-clock times map to instants without ever going back, so each
// fires once.
type daily struct {
	wall *cron.SpecSchedule
	zone *time.Location
}

func (d daily) Next(after time.Time) time.Time {
	for wall := wallClock(after, d.zone); ; {
		wall = d.wall.Next(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		if at := instant(wall, d.zone); at.After(after) {
			return at
		}
	}
}

// elapsed is an expression that matches every hour: it follows the clock through skipped and repeated hours.
type elapsed struct {
	wall *cron.SpecSchedule
	zone *time.Location
}

func (e elapsed) Next(after time.Time) time.Time {
	for {
		local := after.In(e.zone)
		_, offset := local.Zone()
		_, border := local.ZoneBounds()
		wall := e.wall.Next(wallClock(after, e.zone))
		if wall.IsZero() {
			return time.Time{}
		}
		if at := wall.Add(-seconds(offset)); border.IsZero() || at.Before(border) {
			return at
		}
		if e.matches(wallClock(border, e.zone)) {
			return border.UTC()
		}
		after = border
	}
}

// matches tells whether the expression holds at a wall-clock time of whole seconds.
func (e elapsed) matches(wall time.Time) bool {
	return e.wall.Next(wall.Add(-time.Second)).Equal(wall)
}

// wallClock is what a clock in the zone shows, written as if it were UTC.
func wallClock(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(seconds(offset))
}

// instant is when a clock in the zone first shows the wall-clock time, or when the gap ends that skips it.
func instant(wall time.Time, zone *time.Location) time.Time {
	guess := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	start, end := guess.ZoneBounds()
	switch shown := wallClock(guess, zone); {
	case shown.After(wall):
		return start.UTC() // skipped, and the guess is behind the gap
	case shown.Before(wall):
		return end.UTC() // skipped, and the guess is before the gap
	}
	return firstShown(guess, start)
}

// firstShown gives the earlier of two instants that show the same time around a border of the zone.
func firstShown(guess, start time.Time) time.Time {
	if start.IsZero() {
		return guess.UTC()
	}
	_, offset := guess.Zone()
	_, before := start.Add(-1).Zone()
	if first := guess.Add(seconds(offset - before)); first.Before(start) {
		return first.UTC()
	}
	return guess.UTC()
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
