package cli

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

// terminal is as much of a terminal as what is drawn asks of one.
type terminal struct {
	t        *testing.T
	rows     [][]rune
	row, col int
}

var sequence = regexp.MustCompile(`^\x1b\[(\d*)([FHJK])`)

func (s *terminal) Write(p []byte) (int, error) {
	for rest := string(p); rest != ""; {
		if m := sequence.FindStringSubmatch(rest); m != nil {
			s.obey(m[1], m[2])
			rest = rest[len(m[0]):]
			continue
		}
		r := []rune(rest)[0]
		rest = rest[len(string(r)):]
		s.put(r)
	}
	return len(p), nil
}

func (s *terminal) obey(number, what string) {
	n, _ := strconv.Atoi(number) // none is 0
	switch what {
	case "F":
		s.row, s.col = s.row-n, 0
		if s.row < 0 {
			s.t.Fatal("the cursor left the screen at its top")
		}
	case "H":
		s.row, s.col = 0, 0
	case "J":
		if n == 2 {
			s.rows = nil
		}
		s.rows = s.rows[:min(s.row, len(s.rows))]
	case "K":
		s.reach()
		s.rows[s.row] = s.rows[s.row][:s.col]
	}
}

// reach makes sure that the cursor's row is there.
func (s *terminal) reach() {
	for len(s.rows) <= s.row {
		s.rows = append(s.rows, nil)
	}
}

func (s *terminal) put(r rune) {
	s.reach()
	switch {
	case r == '\n':
		s.row, s.col = s.row+1, 0
		return
	case s.col < len(s.rows[s.row]):
		s.rows[s.row][s.col] = r
	default:
		s.rows[s.row] = append(s.rows[s.row], r)
	}
	s.col++
}

func (s *terminal) text() string {
	var b strings.Builder
	for _, row := range s.rows {
		b.WriteString(strings.TrimRight(string(row), " ") + "\n")
	}
	return b.String()
}

func TestAQueueIsDrawnInThePlaceOfTheLastOne(t *testing.T) {
	t.Parallel()
	term := &terminal{t: t}
	width, height := 100, 24
	c := newScreen(&view{out: term, format: formatTable}, showQueue)
	c.size = func() (int, int) { return width, height }
	short := api.Queue{QueueStats: api.QueueStats{Action: "core.sleep", Running: 1, Limit: 1}}
	for _, q := range []api.Queue{sampleQueue, short, sampleQueue, short} {
		if err := c.draw(q, nil); err != nil {
			t.Fatal(err)
		}
	}
	want := render(t, formatTable, width, func(v *view) error { return showOne(v, short, showQueue) })
	if diff := cmp.Diff(want, term.text()); diff != "" {
		t.Errorf("after a longer one:\n%s", diff)
	}
	if err := c.draw(api.Queue{}, client.ErrUnreachable); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want+"attune: the API cannot be reached; trying again\n", term.text()); diff != "" {
		t.Errorf("without an answer:\n%s", diff)
	}
	width = 40
	if err := c.draw(short, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, term.text()); diff != "" {
		t.Errorf("on a narrower terminal:\n%s", diff)
	}
}

func TestWhatIsDrawnFitsTheTerminal(t *testing.T) {
	t.Parallel()
	long := api.Queue{QueueStats: sampleQueue.QueueStats}
	for range 100 {
		long.Entries = append(long.Entries, sampleQueue.Entries...)
	}
	for _, size := range [][2]int{{40, 10}, {80, 24}, {200, 60}} {
		var out bytes.Buffer
		c := newScreen(&view{out: &out, format: formatTable, paint: paint{on: true}}, showQueue)
		c.size = func() (int, int) { return size[0], size[1] }
		if err := c.draw(long, nil); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n\x1b[J"), "\n")
		if len(lines) != size[1]-1 || !strings.Contains(lines[len(lines)-1], "more lines") {
			t.Errorf("%v: %d lines, the last %q", size, len(lines), lines[len(lines)-1])
		}
		for _, line := range lines {
			if plain := regexp.MustCompile(`\x1b\[[\d;]*[a-zA-Z]`).ReplaceAllString(line, ""); len([]rune(plain)) > size[0] {
				t.Errorf("%v: %q", size, plain)
			}
		}
	}
}

func TestWhatIsWatchedIsLookedAtEachSecondUntilTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		looks := 0
		err := repeatedly(ctx, func() error { looks++; return nil })
		if looks != 4 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d looks, %v", looks, err)
		}
		if err := repeatedly(t.Context(), func() error { return errDrained }); !errors.Is(err, errDrained) {
			t.Error(err)
		}
	})
}
