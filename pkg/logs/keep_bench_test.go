package logs_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
)

// Output of lines as programs log them, kept whole.
func BenchmarkKeepLines(b *testing.B) {
	s := open(b, natstest.New(b))
	var text bytes.Buffer
	for i := 0; text.Len() < 1<<20; i++ {
		fmt.Fprintf(&text, "2026-11-27T10:%02d:%02d.%03dZ INFO request served method=GET path=/api/v1/items/%d status=%d bytes=%d duration=%d.%02dms\n",
			i/60%60, i%60, i*7919%1000, i*104729%99991, 200+i%7, i*1299709%65536, i%90, i*31%100)
	}
	const size = 256 << 20
	b.SetBytes(size)
	for i := 0; b.Loop(); i++ {
		w, err := s.NewWriter(fmt.Sprint("x", i), logs.Source{}, logs.Limits{StreamBytes: 1 << 40, TotalBytes: 1 << 40})
		if err != nil {
			b.Fatal(err)
		}
		for n := 0; n < size; n += 1 << 16 {
			at := n % (text.Len() - 1<<16)
			write(b, w.Stdout(), text.Bytes()[at:at+1<<16])
		}
		if _, err := w.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
