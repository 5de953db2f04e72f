package runtime_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/attune/attune/pkg/runtime"
)

func TestAnInterpreterIsAskedAgainOnlyWhenItsFileHasChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, count, memory := filepath.Join(dir, "toy"), filepath.Join(dir, "count"), filepath.Join(dir, "memory.json")
	put := func(version string) {
		t.Helper()
		text := "#!/bin/sh\necho x >> " + count + "\necho " + version + "\n"
		if err := os.WriteFile(file+".new", []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	look := func() string {
		t.Helper()
		m := runtime.OpenMemory(memory)
		found := runtime.Detect(t.Context(), runtime.DetectConfig{
			Definitions: []runtime.Definition{{Name: "toy", Detect: runtime.Question{Programs: []string{"toy"}, Ask: []string{"-v"}}}}, Path: dir + ":/bin", Memory: m,
		})
		if err := m.Save(); err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 {
			t.Fatalf("found %v", found)
		}
		asked, _ := os.ReadFile(count)
		return found[0].Version + string(asked)
	}
	put("1.0.0")
	for range 3 {
		if got := look(); got != "1.0.0x\n" {
			t.Errorf("%q", got)
		}
	}
	put("2.0.0")
	if got := look(); got != "2.0.0x\nx\n" {
		t.Errorf("after a change: %q", got)
	}
	if err := os.WriteFile(memory, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != "2.0.0x\nx\nx\n" {
		t.Errorf("after the memory was damaged: %q", got)
	}
}
