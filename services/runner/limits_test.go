package runner_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/services/runner"
	"github.com/attune/attune/streams"
)

// numbers prints lines without end.
const numbers = "#!/bin/sh\ni=0; while :; do echo $i; i=$((i+1)); done\n"

func TestOutputOverALimitFailsWhereTheActionWantsThat(t *testing.T) {
	t.Parallel()
	mark := token()
	files := map[string]string{}
	action(files, "stream", "runtime: shell\nlogs: {max_bytes: 100000, truncate_on_exceed: false}\n", "stream.sh", "#!/bin/sh\nsleep "+mark+" &\n"+strings.TrimPrefix(numbers, "#!/bin/sh\n"))
	action(files, "both", "runtime: shell\nlogs: {max_bytes: 100000, max_total_bytes: 100000, truncate_on_exceed: false}\n", "both.sh",
		"#!/bin/sh\nhead -c 60000 /dev/zero; head -c 60000 /dev/zero >&2; sleep "+mark)
	action(files, "ended", "runtime: shell\nlogs: {max_bytes: 2000, truncate_on_exceed: false}\n", "ended.sh", "#!/bin/sh\nhead -c 2001 /dev/zero")
	action(files, "ends", "runtime: shell\nlogs: {max_bytes: 2000, keep: ends, truncate_on_exceed: false}\n", "ends.sh", "#!/bin/sh\nhead -c 2001 /dev/zero")
	action(files, "fits", "runtime: shell\nlogs: {max_bytes: 2000, truncate_on_exceed: false}\n", "fits.sh", "#!/bin/sh\nhead -c 2000 /dev/zero")
	action(files, "stubborn", "runtime: shell\nlogs: {max_bytes: 2000, truncate_on_exceed: false}\n", "stubborn.sh", "#!/bin/sh\ntrap '' TERM\nhead -c 2001 /dev/zero\nsleep "+mark)
	d := newDesk(t, files)
	d.start(nil)
	for name, want := range map[string]string{
		"stream":   "stdout went over its limit, 100,000 bytes",
		"both":     "the output went over the limit of both streams together, 100,000 bytes",
		"ended":    "stdout went over its limit, 2,000 bytes",
		"ends":     "stdout went over its limit, 2,000 bytes",
		"fits":     "",
		"stubborn": "and was killed",
	} {
		f := d.ended(d.request(name, `{}`))
		if want == "" {
			if f.Status != streams.Succeeded || f.Output.Truncated {
				t.Errorf("%s: %s, %+v, %+v", name, f.Status, f.Error, f.Output)
			}
			continue
		}
		if f.Status != streams.Failed || f.Error == nil || f.Error.Class != streams.ClassOutputLimit || !strings.Contains(f.Error.Message, want) {
			t.Errorf("%s: %s, %+v", name, f.Status, f.Error)
		}
		if !f.Output.Truncated || f.Output.Dropped == 0 {
			t.Errorf("%s: %+v", name, f.Output)
		}
	}
	if n := alive(mark); n > 0 {
		t.Errorf("%d processes are left", n)
	}
}

func TestTheInstallationLimitsActionsThatSayNothing(t *testing.T) {
	t.Parallel()
	files := scripts(map[string]string{"default": "head -c 9000 /dev/zero | tr '\\0' x"})
	action(files, "more", "runtime: shell\nlogs: {max_bytes: 8000, keep: head}\n", "more.sh", "#!/bin/sh\nhead -c 9000 /dev/zero | tr '\\0' x")
	d := newDesk(t, files)
	d.start(func(c *runner.Config) { c.Logs = logs.Limits{StreamBytes: 4000, Ends: true} })
	for name, want := range map[string]string{
		"default": strings.Repeat("x", 2000) + "\n[attune: truncated, 5,000 bytes not kept]\n" + strings.Repeat("x", 2000),
		"more":    strings.Repeat("x", 8000) + "\n[attune: truncated, 1,000 bytes not kept]\n",
	} {
		id := d.request(name, `{}`)
		if f := d.ended(id); f.Status != streams.Succeeded || !f.Output.Truncated || f.Output.LogBytes != int64(len(want)) {
			t.Errorf("%s: %s, %+v", name, f.Status, f.Output)
		}
		if got := d.log(id, logs.Stdout); got != want {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
		}
	}
}

// A line need not end, and its bytes are what they are.
func TestALineWithoutEnd(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	action(files, "line", "runtime: shell\nlogs: {max_bytes: 100000}\n", "line.sh",
		"#!/bin/sh\nprintf 'a\\000b\\377\\303(' ; head -c "+strconv.Itoa(longLine)+" /dev/zero; printf '\\n::add-mask::hidden-away\\n'\necho '\"hidden-away\"' >$ATTUNE_RESULT_FILE\n")
	d := newDesk(t, files)
	d.start(nil)
	id := d.request("line", `{}`)
	f := d.ended(id)
	if f.Status != streams.Succeeded || f.Output.Dropped < longLine-100_000 || f.Output.StdoutBytes < longLine {
		t.Fatalf("%s, %+v, %+v", f.Status, f.Error, f.Output)
	}
	got := []byte(d.log(id, logs.Stdout))
	head := []byte("a\x00b\xff\xc3(")
	want := append(head, make([]byte, 100_000-len(head))...)
	if !bytes.HasPrefix(got, want) || !bytes.HasPrefix(got[len(want):], []byte("\n[attune: truncated, 1")) {
		t.Errorf("%d bytes: %.20q, ends with %.60q", len(got), got, got[min(len(got), len(want)):])
	}
	if string(f.Result) != `"***"` {
		t.Errorf("what was to be masked behind the limit: %s", f.Result)
	}
}

// The volume of the logs is full, as the store says: the action runs to its end, and the log says what is missing.
func TestAFullLogVolumeDoesNotBlockAnAction(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	action(files, "much", "runtime: shell\nlogs: {segment_bytes: 65536}\n", "much.sh", "#!/bin/sh\nhead -c 3000000 /dev/urandom\necho done >&2\n")
	d := newDesk(t, files)
	stream, err := d.bus.JS.Stream(t.Context(), "OBJ_"+streams.ObjectsLogs)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxBytes = 1 << 20
	if _, err := d.bus.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	d.start(nil)
	id := d.request("much", `{}`)
	f := d.ended(id)
	if f.Status != streams.Succeeded || !f.Output.Truncated || f.Output.StdoutBytes != 3_000_000 {
		t.Fatalf("%s, %+v, %+v", f.Status, f.Error, f.Output)
	}
	if got := d.log(id, logs.Stderr); got != "done\n" && !f.Output.Incomplete {
		t.Errorf("stderr %q", got)
	}
	missing := false
	store, err := logs.Open(t.Context(), logs.Config{Bus: d.bus})
	if err != nil {
		t.Fatal(err)
	}
	for chunk, err := range store.Read(t.Context(), logs.Request{Execution: id, Stream: logs.Stdout}) {
		if err != nil {
			t.Fatal(err)
		}
		missing = missing || chunk.Missing > 0
	}
	if !missing && !f.Output.Incomplete {
		t.Errorf("nothing is said to be missing: %+v", f.Output)
	}
}
