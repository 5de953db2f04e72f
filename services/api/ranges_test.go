package api

import (
	"testing"

	"github.com/attune/attune/pkg/logs"
)

func TestARangeIsAnsweredAsTheRFCHasIt(t *testing.T) {
	t.Parallel()
	complete, growing, empty := logs.Extent{Bytes: 100, Complete: true}, logs.Extent{Bytes: 100}, logs.Extent{Complete: true}
	for header, want := range map[string][4]string{ // of a complete log, of a growing one, of one that is followed, of an empty one
		"bytes=0-":                              {"bytes 0-99/100", "bytes 0-99/*", "bytes 0-9007199254740991/*", "416"},
		"bytes=10-":                             {"bytes 10-99/100", "bytes 10-99/*", "bytes 10-9007199254740991/*", "416"},
		"bytes=10-19":                           {"bytes 10-19/100", "bytes 10-19/*", "bytes 10-19/*", "416"},
		"bytes=99-99":                           {"bytes 99-99/100", "bytes 99-99/*", "bytes 99-99/*", "416"},
		"bytes=90-200":                          {"bytes 90-99/100", "bytes 90-99/*", "bytes 90-200/*", "416"},
		"bytes=100-":                            {"416", "416", "bytes 100-9007199254740991/*", "416"},
		"bytes=-10":                             {"bytes 90-99/100", "bytes 90-99/*", "bytes 90-9007199254740991/*", "416"},
		"bytes=-1000":                           {"bytes 0-99/100", "bytes 0-99/*", "bytes 0-9007199254740991/*", "416"},
		"bytes=-0":                              {"416", "416", "bytes 100-9007199254740991/*", "416"},
		"bytes=1000000000000000000-":            {"416", "416", "bytes 9007199254740991-9007199254740991/*", "416"},
		"bytes=999999999999999999999999999999-": {"416", "416", "bytes 9007199254740991-9007199254740991/*", "416"},
		"bytes=0-999999999999999999999999999":   {"bytes 0-99/100", "bytes 0-99/*", "bytes 0-9007199254740991/*", "416"},
	} {
		r, ok := parseRange(header)
		if !ok {
			t.Errorf("%s is not understood", header)
			continue
		}
		for i, e := range []logs.Extent{complete, growing, growing, empty} {
			got := "416"
			if start, end, status := r.answer(e, i == 2); status == 206 {
				got = contentRange(start, end, e)
			}
			if got != want[i] {
				t.Errorf("%s of %+v, followed %t: %s, want %s", header, e, i == 2, got, want[i])
			}
		}
	}
	for _, header := range []string{
		"", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1-0", "bytes=+1-2", "bytes=1-2,4-5", "lines=1-2", "bytes=0x1-2", "bytes=1", "bytes=--1", "bytes=1-2-3", "bytes=-1e3",
	} {
		if r, ok := parseRange(header); ok {
			t.Errorf("%q is understood as %+v", header, r)
		}
	}
}

func FuzzRange(f *testing.F) {
	f.Add("bytes=1-2", int64(100))
	f.Add("bytes=-9223372036854775808", int64(0))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		r, ok := parseRange(header)
		if !ok || size < 0 || size > endless {
			return
		}
		if start, end, ok := r.within(size); ok && (start < 0 || start >= end || end > size) {
			t.Errorf("%q of %d is %d to %d", header, size, start, end)
		}
		if start, end, status := r.answer(logs.Extent{Bytes: size}, true); status != 206 || start < 0 || start >= end {
			t.Errorf("%q of %d, followed, is %d to %d: %d", header, size, start, end, status)
		}
	})
}

func TestAMediaTypeIsChosenAsTheClientPrefers(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"": mediaText, "*/*": mediaText, "text/*": mediaText, "text/event-stream": mediaEvents, "application/jsonl": mediaRecords,
		"application/*;q=0.5, text/*;q=0.1": mediaRecords, "text/html, */*;q=0.1": mediaText, "*/*, application/jsonl": mediaRecords,
		"text/html": "", "text/plain;q=0": "", "text/plain;q=x": "", ";": "", "application/json": "",
	} {
		if got := preferred(accept, mediaText, mediaRecords, mediaEvents); got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
}
