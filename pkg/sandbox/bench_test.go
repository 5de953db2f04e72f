package sandbox

import (
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkFilter is what it costs to put a thread under the filter, thread included.
func BenchmarkFilter(b *testing.B) {
	f := filter()
	for b.Loop() {
		err := onThread(func() error {
			if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
				return err
			}
			return filterCalls(f)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkThread is the part of BenchmarkFilter that the thread takes.
func BenchmarkThread(b *testing.B) {
	for b.Loop() {
		if err := onThread(func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }); err != nil {
			b.Fatal(err)
		}
	}
}
