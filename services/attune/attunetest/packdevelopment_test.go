package attunetest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/attune/attune/services/attune/attunetest"
)

// The page for developers of packs is followed as a reader would follow it, and what it shows is what comes.
func TestThePageForDevelopersShowsWhatComes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "pack-development.md"))
	if err != nil {
		t.Fatal(err)
	}
	sh := openShell(t, attunetest.Start(t, attunetest.Options{}))
	sh.check(step{command: "cd '" + t.TempDir() + "'"})
	blocks := regexp.MustCompile("(?s)\n```console\n(.*?)\n```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 5 {
		t.Fatalf("the page has %d blocks", len(blocks))
	}
	for _, b := range blocks {
		for _, s := range steps(t, b[1]) {
			sh.check(s)
		}
	}
}
