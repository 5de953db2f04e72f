package runner_test

import (
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/attune/attune/services/runner"
)

// BenchmarkBare is what the machine needs to run the program of BenchmarkExecution and nothing else.
func BenchmarkBare(b *testing.B) {
	script := filepath.Join(b.TempDir(), "noop.sh")
	write(b, script, "#!/bin/sh\nexit 0\n", 0o700)
	for b.Loop() {
		if err := exec.CommandContext(b.Context(), "/bin/sh", script).Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExecution runs executions that were requested and dispatched before, with so many slots.
func BenchmarkExecution(b *testing.B) {
	for _, slots := range []int{1, 2, 4, 8, 16, 32} {
		b.Run(fmt.Sprintf("slots=%d", slots), func(b *testing.B) {
			d := newDesk(b, scripts(map[string]string{"noop": "exit 0"}))
			ids := make([]string, b.N)
			for i := range ids {
				ids[i] = d.request("noop", `{}`)
			}
			b.ResetTimer()
			d.start(func(c *runner.Config) { c.Slots, c.Logger = slots, slog.New(slog.DiscardHandler) })
			for _, id := range ids {
				d.ended(id)
			}
		})
	}
}
