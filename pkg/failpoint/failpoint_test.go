package failpoint

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAPlanFiresAtTheHitThatItNames(t *testing.T) {
	t.Parallel()
	p, err := Parse("runner.claimed=kill@3, runner.acked=stop")
	if err != nil {
		t.Fatal(err)
	}
	var fired []string
	for hit := 1; hit <= 5; hit++ {
		for _, n := range []Name{RunnerClaimed, RunnerAcked, RunnerEnded} {
			if deed, due := p.due(n); due {
				fired = append(fired, fmt.Sprintf("%d %s %s", hit, n, deed))
			}
		}
	}
	if want := []string{"1 runner.acked stop", "3 runner.claimed kill"}; !slices.Equal(fired, want) {
		t.Errorf("fired %q, want %q", fired, want)
	}
}

func TestChanceIsRepeatedWithItsSeed(t *testing.T) {
	t.Parallel()
	outcome := func(plan string) (fired []int) {
		p, err := Parse(plan)
		if err != nil {
			t.Fatal(err)
		}
		for hit := range 2000 {
			if _, due := p.due(RulesDecided); due {
				fired = append(fired, hit)
			}
		}
		return fired
	}
	first := outcome("seed=7,rules.decided=kill@p0.05")
	if n := len(first); n < 50 || n > 200 {
		t.Errorf("%d of 2000 hits fired, want about 100", n)
	}
	if again := outcome("rules.decided=kill@p0.05,seed=7"); !slices.Equal(first, again) {
		t.Error("the same seed gave other firings")
	}
	if other := outcome("rules.decided=kill@p0.05,seed=8"); slices.Equal(first, other) {
		t.Error("another seed gave the same firings")
	}
}

func TestEveryMistakeInAPlanIsNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"runner.claimd=kill": errName, "kill": errName, "runner.claimed": errDeed, "runner.claimed=pause@1": errDeed,
		"runner.claimed=kill@0": errWhen, "runner.claimed=kill@": errWhen, "runner.claimed=kill@p0": errWhen,
		"runner.claimed=kill@pNaN": errWhen, "runner.claimed=kill@p1.5": errWhen, "runner.claimed=kill,runner.claimed=stop": errOnce,
	} {
		if _, err := Parse(text); !errors.Is(err, ErrPlan) || !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	_, err := Parse("runner.claimd=kill,seed=x,runner.acked=kill@-1")
	for _, want := range []string{"runner.claimd", "seed=x", "runner.acked"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if p, err := Parse(""); p != nil || err != nil {
		t.Errorf("an empty text: %v, %v", p, err)
	}
}

func TestFiringsAreReadAsTheyWereNoted(t *testing.T) {
	t.Parallel()
	p := &Plan{log: filepath.Join(t.TempDir(), "firings")}
	if got, err := Firings(p.log); err != nil || got != nil {
		t.Errorf("before the first: %v, %v", got, err)
	}
	want := []Firing{{RulesDecided, Kill, os.Getpid()}, {RunnerAcked, Stop, os.Getpid()}}
	for _, f := range want {
		if err := p.note(f.Name, f.Deed); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Firings(p.log); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

// A place that nothing hits would make a test of it wait for ever, or prove nothing.
func TestEveryPlaceIsHitSomewhere(t *testing.T) {
	t.Parallel()
	constants := declared(t)
	if len(constants) != len(Names()) {
		t.Errorf("%d places are declared and %d listed", len(constants), len(Names()))
	}
	hits := map[string]int{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return fs.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			countHits(t, path, hits)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range constants {
		if hits[c] == 0 {
			t.Errorf("nothing hits failpoint.%s", c)
		}
	}
}

// declared gives the constants of type Name.
func declared(t *testing.T) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "failpoint.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Name" {
				names = append(names, spec.Names[0].Name)
			}
		}
		return true
	})
	return names
}

// countHits counts the calls failpoint.Hit(failpoint.X) in a file by X.
func countHits(t *testing.T, path string, hits map[string]int) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 || selected(call.Fun) != "Hit" {
			return true
		}
		if name := selected(call.Args[0]); name != "" {
			hits[name]++
		}
		return true
	})
}

// selected gives X of failpoint.X, else "".
func selected(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if p, ok := s.X.(*ast.Ident); !ok || p.Name != "failpoint" {
		return ""
	}
	return s.Sel.Name
}
