package sensors

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/schedule"
)

func clock(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05", "2026-01-"+s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestDue(t *testing.T) {
	t.Parallel()
	hourly := schedule.Spec{Cron: "0 * * * *"}
	tests := map[string]struct {
		spec                  schedule.Spec
		policy                pack.CatchUp
		handled, watched, now string
		want                  []string
	}{
		"nothing yet":                           {hourly, pack.CatchUpLast, "05 10:00:00", "05 10:00:00", "05 10:59:59", nil},
		"on its second":                         {hourly, pack.CatchUpLast, "05 10:00:00", "05 10:00:00", "05 11:00:00", []string{"05 11:00:00"}},
		"late, but watched":                     {hourly, pack.CatchUpNone, "05 10:00:00", "05 10:00:00", "05 12:30:00", []string{"05 11:00:00", "05 12:00:00"}},
		"missed, none":                          {hourly, pack.CatchUpNone, "05 10:00:00", "05 12:30:00", "05 12:30:00", nil},
		"missed, last":                          {hourly, pack.CatchUpLast, "05 10:00:00", "05 12:30:00", "05 12:30:00", []string{"05 12:00:00"}},
		"missed, by default":                    {hourly, "", "05 10:00:00", "05 12:30:00", "05 12:30:00", []string{"05 12:00:00"}},
		"missed, all":                           {hourly, pack.CatchUpAll, "05 10:00:00", "05 12:30:00", "05 12:30:00", []string{"05 11:00:00", "05 12:00:00"}},
		"missed none of it, last":               {hourly, pack.CatchUpLast, "05 10:00:00", "05 10:30:00", "05 10:30:00", nil},
		"missed, then one on time, none":        {hourly, pack.CatchUpNone, "05 10:00:00", "05 11:59:59", "05 12:00:00", []string{"05 12:00:00"}},
		"missed, then one on time, last":        {hourly, pack.CatchUpLast, "05 10:00:00", "05 11:59:59", "05 12:00:00", []string{"05 11:00:00", "05 12:00:00"}},
		"all reaches back 24 hours":             {schedule.Spec{Cron: "0 */6 * * *"}, pack.CatchUpAll, "01 00:00:00", "05 12:30:00", "05 12:30:00", []string{"04 18:00:00", "05 00:00:00", "05 06:00:00", "05 12:00:00"}},
		"last reaches back for ever":            {schedule.Spec{Cron: "0 0 2 1 *"}, pack.CatchUpLast, "01 00:00:00", "25 00:00:00", "25 00:00:00", []string{"02 00:00:00"}},
		"a second's timer over a month":         {schedule.Spec{Every: time.Second}, pack.CatchUpLast, "01 00:00:00", "30 00:00:00", "30 00:00:00", []string{"30 00:00:00"}},
		"once, missed, last":                    {schedule.Spec{At: clock(t, "05 11:00:00")}, pack.CatchUpLast, "05 10:00:00", "05 12:30:00", "05 12:30:00", []string{"05 11:00:00"}},
		"once, missed, none":                    {schedule.Spec{At: clock(t, "05 11:00:00")}, pack.CatchUpNone, "05 10:00:00", "05 12:30:00", "05 12:30:00", nil},
		"once, handled":                         {schedule.Spec{At: clock(t, "05 11:00:00")}, pack.CatchUpAll, "05 11:00:00", "05 12:30:00", "05 12:30:00", nil},
		"the clock was set back":                {hourly, pack.CatchUpAll, "05 12:00:00", "05 10:30:00", "05 11:00:00", nil},
		"the clock was set back behind watched": {hourly, pack.CatchUpLast, "05 09:00:00", "05 12:30:00", "05 10:10:00", []string{"05 10:00:00"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := schedule.Parse(tt.spec)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, at := range due(s, tt.policy, clock(t, tt.handled), clock(t, tt.watched), clock(t, tt.now)) {
				got = append(got, at.Format("02 15:04:05"))
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
