package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/attune/attune/pkg/schedule"
)

// Each row is one change of the clock: a daily job at a time that the change skips or repeats.
var changes = []struct {
	zone  string
	daily string // minute and hour
	date  string // the local date of the change
	want  string // when the job fires on that date
}{
	// Forward: the time is skipped.
	{"Europe/Berlin", "30 2", "2026-03-29", "2026-03-29T01:00:00Z"},
	{"Europe/London", "30 1", "2026-03-29", "2026-03-29T01:00:00Z"},
	{"America/New_York", "30 2", "2026-03-08", "2026-03-08T07:00:00Z"},
	{"America/St_Johns", "30 2", "2026-03-08", "2026-03-08T05:30:00Z"},
	{"America/Santiago", "30 0", "2026-09-06", "2026-09-06T04:00:00Z"},
	{"America/Havana", "0 0", "2026-03-08", "2026-03-08T05:00:00Z"},
	{"Africa/Cairo", "15 0", "2026-04-24", "2026-04-23T22:00:00Z"},
	{"Asia/Beirut", "0 0", "2026-03-29", "2026-03-28T22:00:00Z"},
	{"Australia/Sydney", "30 2", "2026-10-04", "2026-10-03T16:00:00Z"},
	{"Australia/Lord_Howe", "15 2", "2026-10-04", "2026-10-03T15:30:00Z"},
	{"Pacific/Auckland", "59 2", "2026-09-27", "2026-09-26T14:00:00Z"},
	// Back: the time is repeated.
	{"Europe/Berlin", "30 2", "2026-10-25", "2026-10-25T00:30:00Z"},
	{"Europe/London", "30 1", "2026-10-25", "2026-10-25T00:30:00Z"},
	{"America/New_York", "30 1", "2026-11-01", "2026-11-01T05:30:00Z"},
	{"America/St_Johns", "30 1", "2026-11-01", "2026-11-01T04:00:00Z"},
	{"America/Santiago", "30 23", "2026-04-04", "2026-04-05T02:30:00Z"},
	{"America/Havana", "0 0", "2026-11-01", "2026-11-01T04:00:00Z"},
	{"Africa/Cairo", "15 23", "2026-10-29", "2026-10-29T20:15:00Z"},
	{"Asia/Beirut", "30 23", "2026-10-24", "2026-10-24T20:30:00Z"},
	{"Australia/Sydney", "30 2", "2026-04-05", "2026-04-04T15:30:00Z"},
	{"Australia/Lord_Howe", "45 1", "2026-04-05", "2026-04-04T14:45:00Z"},
	{"Pacific/Auckland", "0 2", "2026-04-05", "2026-04-04T13:00:00Z"},
}

func TestDailyJobFiresOnceOnTheDayOfAClockChange(t *testing.T) {
	t.Parallel()
	for _, c := range changes {
		t.Run(c.zone+" "+c.date, func(t *testing.T) {
			t.Parallel()
			sched := parse(t, schedule.Spec{Cron: c.daily + " * * *", Timezone: c.zone})
			start, end := localDay(t, c.zone, c.date)
			got := ticks(sched, start.Add(-1), end)
			if len(got) != 1 || !got[0].Equal(utc(t, c.want)) {
				t.Fatalf("fires at %v, want %s alone", got, c.want)
			}
		})
	}
}

// An hourly job runs every hour of elapsed time, through skipped and repeated hours alike.
func TestHourlyJobKeepsItsPace(t *testing.T) {
	t.Parallel()
	for _, c := range changes {
		if c.zone == "Australia/Lord_Howe" { // its clock moves by half an hour
			continue
		}
		sched := parse(t, schedule.Spec{Cron: "*/20 * * * *", Timezone: c.zone})
		start, end := localDay(t, c.zone, c.date)
		at := start.Add(-12 * time.Hour)
		for _, next := range ticks(sched, at, end.Add(12*time.Hour)) {
			if d := next.Sub(at); d > 20*time.Minute {
				t.Errorf("%s: %v after %v", c.zone, d, at)
			}
			at = next
		}
	}
}

func localDay(t *testing.T, zone, date string) (start, end time.Time) {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	noon, err := time.ParseInLocation("2006-01-02 15", date+" 12", loc)
	if err != nil {
		t.Fatal(err)
	}
	at := noon
	for at.Add(-time.Minute).In(loc).Day() == noon.Day() {
		at = at.Add(-time.Minute)
	}
	start = at
	for at.In(loc).Day() == noon.Day() || at.Before(noon) {
		at = at.Add(time.Minute)
	}
	return start, at
}

// ticks lists the ticks after start and before end.
func ticks(s schedule.Schedule, start, end time.Time) (all []time.Time) {
	for at := s.Next(start); !at.IsZero() && at.Before(end); at = s.Next(at) {
		all = append(all, at)
	}
	return all
}

// The rule, told another way: walk through the days around a clock change minute by minute. A job of certain
// hours fires when the clock shows its time for the first time, or passes over it; a job of every hour fires
// whenever the clock shows its time.
func TestNextAgreesWithAWalkThroughEveryMinute(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(changes).Draw(t, "change")
		minute, hour := rapid.IntRange(0, 59).Draw(t, "minute"), rapid.IntRange(-1, 23).Draw(t, "hour")
		text := fmt.Sprintf("%d %d * * *", minute, hour)
		if hour < 0 {
			text = fmt.Sprintf("%d * * * *", minute)
		}
		sched, err := schedule.Parse(schedule.Spec{Cron: text, Timezone: c.zone})
		if err != nil {
			t.Fatal(err)
		}
		at, _ := time.Parse(time.RFC3339, c.want)
		from := at.Truncate(time.Hour).Add(-30 * time.Hour)
		want := walk(c.zone, from, minute, hour)
		got := ticks(sched, from, from.Add(60*time.Hour))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s in %s from %v:\n got %v\nwant %v", text, c.zone, from, got, want)
		}
	})
}

func walk(zone string, from time.Time, minute, hour int) (fires []time.Time) {
	loc, _ := time.LoadLocation(zone)
	shown := func(at time.Time) time.Time {
		_, offset := at.In(loc).Zone()
		return at.Add(time.Duration(offset) * time.Second)
	}
	latest := shown(from) // the latest time that the clock has shown
	for at := from.Add(time.Minute); at.Before(from.Add(60 * time.Hour)); at = at.Add(time.Minute) {
		now := shown(at)
		if hour < 0 {
			if now.Minute() == minute {
				fires = append(fires, at)
			}
			continue
		}
		due := false
		for ; latest.Before(now); latest = latest.Add(time.Minute) {
			w := latest.Add(time.Minute)
			due = due || (w.Minute() == minute && w.Hour() == hour)
		}
		if due {
			fires = append(fires, at)
		}
	}
	return fires
}
