package mask_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune/attune/pkg/mask"
)

// secrets gives so many random values of 40 bytes.
func secrets(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]string, n)
	for i := range values {
		raw := make([]byte, 30)
		for j := range raw {
			raw[j] = byte(r.Uint32())
		}
		values[i] = base64.StdEncoding.EncodeToString(raw)
	}
	return values
}

// texts are what a masker may have to look at, 1 MiB each.
func texts(values []string) map[string][]byte {
	r := rand.New(rand.NewPCG(3, 4))
	random := make([]byte, 1<<20)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	letters := []byte(base64.StdEncoding.EncodeToString(random))[:1<<20]
	var log, near, full strings.Builder
	for i := 0; log.Len() < 1<<20; i++ {
		fmt.Fprintf(&log, "2026-11-27T03:%02d:%02d.%06dZ INFO request served method=GET path=/api/v1/executions/%08x status=200 duration=%dms\n", i/60%60, i%60, i*7919%1e6, r.Uint32(), i%97)
	}
	for i := 0; near.Len() < 1<<20; i++ {
		v := values[i%len(values)]
		near.WriteString(v[:len(v)-1-i%30])
	}
	for i := 0; full.Len() < 1<<20; i++ {
		full.WriteString(values[i%len(values)] + " ")
	}
	return map[string][]byte{
		"random": random, "letters": letters, "log": []byte(log.String())[:1<<20], "near": []byte(near.String())[:1<<20],
		"secrets": []byte(full.String())[:1<<20],
	}
}

// used reports the processor time of a benchmark: what it takes on a machine that others use too says little.
func used(b *testing.B) func() {
	b.Helper()
	now := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := now()
	return func() { b.ReportMetric(float64((now()-before).Nanoseconds())/float64(b.N), "cpu-ns/op") }
}

func BenchmarkWriter(b *testing.B) {
	values := secrets(20)
	m := mask.New(values...)
	for name, text := range texts(values) {
		b.Run(name, func(b *testing.B) {
			w := m.Writer(io.Discard)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			defer used(b)()
			for b.Loop() {
				for rest := text; len(rest) > 0; {
					n := min(len(rest), 32<<10)
					_, _ = w.Write(rest[:n])
					rest = rest[n:]
				}
			}
		})
	}
}

// What no automaton of one level would be linear in.
func BenchmarkWriterPeriodic(b *testing.B) {
	var values []string
	for i := range 20 {
		values = append(values, strings.Repeat("a", 3000+i)+"b")
	}
	text := []byte(strings.Repeat("a", 1<<20))
	w := mask.New(values...).Writer(io.Discard)
	b.SetBytes(int64(len(text)))
	defer used(b)()
	for b.Loop() {
		_, _ = w.Write(text)
	}
}

// A program that writes byte by byte while a long beginning is held back.
func BenchmarkWriterBytes(b *testing.B) {
	w := mask.New(strings.Repeat("a", 60_000) + "b").Writer(io.Discard)
	_, _ = w.Write([]byte(strings.Repeat("a", 60_000)))
	b.ReportAllocs()
	defer used(b)()
	for b.Loop() {
		_, _ = w.Write([]byte{'a'})
	}
}

func BenchmarkWriterWithoutSecrets(b *testing.B) {
	text := texts(secrets(1))["log"]
	w := mask.New().Writer(io.Discard)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	defer used(b)()
	for b.Loop() {
		_, _ = w.Write(text)
	}
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{0, 1, 20} {
		values := secrets(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			defer used(b)()
			for b.Loop() {
				mask.New(values...)
			}
			if n > 0 {
				m := mask.New(values...)
				b.ReportMetric(float64(len(m.Forms())), "forms")
				b.ReportMetric(float64(m.Bytes()), "bytes")
			}
		})
	}
}

// The size of a private key in PEM.
func BenchmarkNewPEM(b *testing.B) {
	raw := make([]byte, 2400)
	r := rand.New(rand.NewPCG(5, 6))
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	var lines []string
	for text := base64.StdEncoding.EncodeToString(raw); text != ""; {
		n := min(64, len(text))
		lines, text = append(lines, text[:n]), text[n:]
	}
	key := "-----BEGIN PRIVATE KEY-----\n" + strings.Join(lines, "\n") + "\n-----END PRIVATE KEY-----\n"
	defer used(b)()
	for b.Loop() {
		mask.New(key)
	}
	m := mask.New(key)
	b.ReportMetric(float64(len(m.Forms())), "forms")
	b.ReportMetric(float64(m.Bytes()), "bytes")
}

// What masking adds to an execution that writes a line to each stream, with so many secrets of 40 bytes.
func BenchmarkExecution(b *testing.B) {
	line := []byte("2026-11-27T03:00:00Z INFO deployed web1\n")
	for _, n := range []int{0, 20} {
		values := secrets(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			defer used(b)()
			for b.Loop() {
				m, added := mask.New(values...), &mask.Added{}
				for range 2 {
					shown := m.Writer(io.Discard)
					w := m.Commands(shown, shown, added)
					_, _ = w.Write(line)
					_, _ = w.Close(), shown.Close()
				}
			}
		})
	}
}

// The way of a log through everything that a runner puts before it.
func BenchmarkCommands(b *testing.B) {
	for _, n := range []int{0, 20} {
		text := texts(secrets(1))["log"]
		m := mask.New(secrets(n)...)
		shown := m.Writer(io.Discard)
		w := m.Commands(shown, shown, &mask.Added{})
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			defer used(b)()
			for b.Loop() {
				for rest := text; len(rest) > 0; {
					k := min(len(rest), 32<<10)
					_, _ = w.Write(rest[:k])
					rest = rest[k:]
				}
			}
		})
	}
}
