package pack

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rate{
		"10/m":                     {Count: 10, Period: time.Minute},
		"1/30s":                    {Count: 1, Period: 30 * time.Second},
		"500/h":                    {Count: 500, Period: time.Hour},
		"1/1500ms":                 {Count: 1, Period: 1500 * time.Millisecond},
		"1000000/30d":              {Count: 1_000_000, Period: 30 * 24 * time.Hour},
		"10/m burst 1":             {Count: 10, Period: time.Minute, Burst: 1},
		"10/m per action":          {Count: 10, Period: time.Minute, Action: true},
		"10/m burst 20 per action": {Count: 10, Period: time.Minute, Burst: 20, Action: true},
		"10/m per key":             {Count: 10, Period: time.Minute},
	} {
		got, err := ParseRate(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v %v, want %+v", text, got, err, want)
		}
	}
}

func TestParseRateRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "want COUNT/PERIOD",
		"10":                        "want COUNT/PERIOD",
		"10/":                       "want COUNT/PERIOD",
		"/m":                        "want COUNT/PERIOD",
		"-1/m":                      "want COUNT/PERIOD",
		"1.5/m":                     "want COUNT/PERIOD",
		"10/w":                      "want COUNT/PERIOD",
		"10 / m":                    "want COUNT/PERIOD",
		"10/m ":                     "want COUNT/PERIOD",
		"10/m\n":                    "want COUNT/PERIOD",
		"10/m per action burst 3":   "want COUNT/PERIOD",
		"10/m per host":             "want COUNT/PERIOD",
		"99999999/m":                "want COUNT/PERIOD",
		"0/m":                       "count is not from 1 to 1000000",
		"1000001/m":                 "count is not from 1 to 1000000",
		"10/0s":                     "period is not from 1ms to 30d",
		"10/31d":                    "period is not from 1ms to 30d",
		"10/9999999d":               "period is not from 1ms to 30d", // nanoseconds of it would wrap
		"10/427010d":                "period is not from 1ms to 30d", // and of this to a few hours
		"10/m burst 0":              "burst is not from 1 to 1000000",
		"10/m burst 1000001":        "burst is not from 1 to 1000000",
		strings.Repeat("9", 200_00): "want COUNT/PERIOD",
	} {
		r, err := ParseRate(text)
		if !errors.Is(err, ErrRate) || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 || r != (Rate{}) {
			t.Errorf("%.40q: %+v %.300v, want %s", text, r, err, want)
		}
	}
}

func TestARateIsWrittenShortAndReadBack(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10/m": "10/m", "10/60s": "10/m", "10/1m": "10/m", "010/090s": "10/90s", "3/3600s": "3/h", "1/7d": "1/7d", "5/1000ms": "5/s",
		"10/m burst 3 per action": "10/m burst 3 per action", "10/m per key": "10/m",
	} {
		r, err := ParseRate(text)
		if got := r.String(); err != nil || got != want {
			t.Errorf("%s: written as %s, want %s (%v)", text, got, want, err)
		}
	}
	for _, r := range []Rate{{}, {Count: 2, Period: time.Hour, Burst: 1}} {
		data, err := json.Marshal(struct{ R Rate }{r})
		var back struct{ R Rate }
		if err := errors.Join(err, json.Unmarshal(data, &back)); err != nil || back.R != r {
			t.Errorf("%s read as %+v, %v", data, back.R, err)
		}
	}
	if data, err := json.Marshal(Action{}); err != nil || strings.Contains(string(data), "rate") {
		t.Errorf("an action without a rate is written %s, %v", data, err)
	}
}

// FuzzParseRate checks that what is read can be written and read again, and stays within its bounds.
func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"10/m", "1/30s burst 2 per action", "1000000/30d", "7/9999999ms per key", "1/427010d", "0/s", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRate(text)
		if err != nil {
			if !errors.Is(err, ErrRate) {
				t.Fatal(err)
			}
			return
		}
		if r.Count < 1 || r.Count > maxRateCount || r.Period < time.Millisecond || r.Period > maxRatePeriod || r.Burst < 0 || r.Burst > maxRateCount {
			t.Fatalf("%s is out of bounds: %+v", text, r)
		}
		again, err := ParseRate(r.String())
		if err != nil || again != r {
			t.Fatalf("%s is written %s, which is read as %+v, %v", text, r, again, err)
		}
	})
}
