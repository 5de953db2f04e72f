package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t testing.TB, s schedule.Spec) schedule.Schedule {
	t.Helper()
	sched, err := schedule.Parse(s)
	if err != nil {
		t.Fatalf("parse %+v: %v", s, err)
	}
	return sched
}

func utc(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

func TestNext(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spec  schedule.Spec
		after string
		want  string // "" for never
	}{
		"every five minutes":                {schedule.Spec{Cron: "*/5 * * * *"}, "2026-11-23T10:02:00Z", "2026-11-23T10:05:00Z"},
		"a tick is not after itself":        {schedule.Spec{Cron: "*/5 * * * *"}, "2026-11-23T10:05:00Z", "2026-11-23T10:10:00Z"},
		"a moment before a tick":            {schedule.Spec{Cron: "*/5 * * * *"}, "2026-11-23T10:04:59.999999999Z", "2026-11-23T10:05:00Z"},
		"time zone":                         {schedule.Spec{Cron: "0 9 * * *", Timezone: "Asia/Kolkata"}, "2026-11-23T00:00:00Z", "2026-11-23T03:30:00Z"},
		"Thursday in capitals":              {schedule.Spec{Cron: "0 0 * * THU"}, "2026-11-23T00:00:00Z", "2026-11-26T00:00:00Z"},
		"Sunday as seven":                   {schedule.Spec{Cron: "0 0 * * 7"}, "2026-11-23T00:00:00Z", "2026-11-29T00:00:00Z"},
		"month by name":                     {schedule.Spec{Cron: "0 0 1 mar *"}, "2026-11-23T00:00:00Z", "2027-03-01T00:00:00Z"},
		"day of month or of week":           {schedule.Spec{Cron: "0 0 1 * MON"}, "2026-11-24T00:00:00Z", "2026-11-30T00:00:00Z"},
		"starred step leaves it to weekday": {schedule.Spec{Cron: "0 0 */2 * MON"}, "2026-11-24T00:00:00Z", "2026-12-07T00:00:00Z"},
		"leap day":                          {schedule.Spec{Cron: "0 0 29 2 *"}, "2026-11-23T00:00:00Z", "2028-02-29T00:00:00Z"},
		"leap day over 2100":                {schedule.Spec{Cron: "0 0 29 2 *"}, "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
		"nickname":                          {schedule.Spec{Cron: "@daily", Timezone: "America/New_York"}, "2026-11-23T12:00:00Z", "2026-11-24T05:00:00Z"},
		"interval":                          {schedule.Spec{Every: 90 * time.Second}, "2026-11-23T10:00:00.5Z", "2026-11-23T10:01:30Z"},
		"interval on its tick":              {schedule.Spec{Every: time.Hour}, "2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z"},
		"interval before the epoch":         {schedule.Spec{Every: time.Hour}, "1969-12-31T22:30:00Z", "1969-12-31T23:00:00Z"},
		"once, ahead":                       {schedule.Spec{At: utc(t, "2026-12-01T00:00:00.25Z")}, "2026-11-23T10:00:00Z", "2026-12-01T00:00:00.25Z"},
		"once, past":                        {schedule.Spec{At: utc(t, "2026-12-01T00:00:00Z")}, "2026-12-01T00:00:00Z", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := parse(t, tt.spec).Next(utc(t, tt.after))
			if tt.want == "" {
				if !got.IsZero() {
					t.Fatalf("Next = %v, want none", got)
				}
				return
			}
			if !got.Equal(utc(t, tt.want)) {
				t.Fatalf("Next = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spec  schedule.Spec
		field string
	}{
		"nothing":                    {schedule.Spec{}, "timer"},
		"two kinds":                  {schedule.Spec{Cron: "* * * * *", Every: time.Minute}, "timer"},
		"TZ= alone":                  {schedule.Spec{Cron: "TZ="}, "cron"},
		"TZ= with fields":            {schedule.Spec{Cron: "TZ=Europe/Berlin * * * * *"}, "cron"},
		"CRON_TZ= in place of field": {schedule.Spec{Cron: "CRON_TZ=UTC * * * *"}, "cron"},
		"TZ= of a file":              {schedule.Spec{Cron: "TZ=../../etc/passwd * * * * *"}, "cron"},
		"step of zero":               {schedule.Spec{Cron: "*/0 * * * *"}, "cron"},
		"never comes":                {schedule.Spec{Cron: "0 0 30 2 *"}, "cron"},
		"@every":                     {schedule.Spec{Cron: "@every 1ns"}, "cron"},
		"@reboot":                    {schedule.Spec{Cron: "@reboot"}, "cron"},
		"six fields":                 {schedule.Spec{Cron: "0 * * * * *"}, "cron"},
		"four fields":                {schedule.Spec{Cron: "* * * *"}, "cron"},
		"minute 60":                  {schedule.Spec{Cron: "60 * * * *"}, "cron"},
		"negative":                   {schedule.Spec{Cron: "-1 * * * *"}, "cron"},
		"hash":                       {schedule.Spec{Cron: "H * * * *"}, "cron"},
		"last day":                   {schedule.Spec{Cron: "0 0 L * *"}, "cron"},
		"blank":                      {schedule.Spec{Cron: "   "}, "cron"},
		"huge":                       {schedule.Spec{Cron: strings.Repeat("0,", 5000) + "0 * * * *"}, "cron"},
		"a nanosecond":               {schedule.Spec{Every: 1}, "every"},
		"negative interval":          {schedule.Spec{Every: -time.Hour}, "every"},
		"longest interval":           {schedule.Spec{Every: 1<<63 - 1}, "every"},
		"unknown zone":               {schedule.Spec{Cron: "* * * * *", Timezone: "Mars/Olympus"}, "timezone"},
		"zone of a file":             {schedule.Spec{Cron: "* * * * *", Timezone: "../../etc/passwd"}, "timezone"},
		"the machine's zone":         {schedule.Spec{Cron: "* * * * *", Timezone: "Local"}, "timezone"},
		"zone of an interval":        {schedule.Spec{Every: time.Minute, Timezone: "Europe/Berlin"}, "timezone"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := schedule.Parse(tt.spec)
			var field *schedule.FieldError
			if !errors.Is(err, schedule.ErrInvalid) || !errors.As(err, &field) || field.Field != tt.field {
				t.Fatalf("error %v, want one about %s", err, tt.field)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	_, err := schedule.Parse(schedule.Spec{Cron: "nonsense", Timezone: "Mars/Olympus"})
	if err == nil || !strings.Contains(err.Error(), "cron:") || !strings.Contains(err.Error(), "timezone:") {
		t.Fatalf("error %v, want both mistakes", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "0 2 * * 1-5", "30 1 29 2 *", "TZ=", "TZ=UTC * * * *", "22-2/2 * ? jan sun", "@daily", "@every 1ns", "H(0-5) * * * *"} {
		f.Add(s, "Europe/Berlin", int64(1_790_000_000))
	}
	f.Add("30 * * * *", "Australia/Lord_Howe", int64(1_775_300_000))
	f.Fuzz(func(t *testing.T, text, zone string, from int64) {
		sched, err := schedule.Parse(schedule.Spec{Cron: text, Timezone: zone})
		if err != nil {
			if !errors.Is(err, schedule.ErrInvalid) {
				t.Fatalf("parse %q in %q: %v is not ErrInvalid", text, zone, err)
			}
			return
		}
		after := time.Unix(from%(1<<32), 0)
		for range 3 {
			next := sched.Next(after)
			if next.IsZero() || !next.After(after) {
				t.Fatalf("%q in %q: Next(%v) = %v", text, zone, after, next)
			}
			after = next
		}
	})
}
