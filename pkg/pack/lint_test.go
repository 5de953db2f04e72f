package pack

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// codes are those that code.go declares.
func codes(t *testing.T) (all []Code) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "code") {
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, Code(text))
		}
		return true
	})
	return all
}

func TestEveryCodeIsExplained(t *testing.T) {
	t.Parallel()
	all := codes(t)
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Error("a code has two meanings:", all)
	}
	if known := slices.Sorted(maps.Keys(explained)); !slices.Equal(known, all) {
		t.Errorf("explained are %v, want %v", known, all)
	}
}

func TestCodesArePublished(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- codes -->\n", "<!-- /codes -->"
	file := filepath.Join("..", "..", "docs", "pack-checks.md")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the codes", file)
	}
	var table strings.Builder
	table.WriteString("| code | meaning | what to do |\n| --- | --- | --- |\n")
	for _, c := range slices.Sorted(maps.Keys(explained)) {
		fmt.Fprintf(&table, "| %s | %s | %s |\n", c, explained[c].means, explained[c].hint)
	}
	want := head + begin + table.String() + end + tail
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(data) != want {
		t.Errorf("%s is not current: run task gen", file)
	}
}

func TestCheckFindsWhatIsLikelyNotMeant(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"pack.yaml":         "name: web\nversion: 1.0.0\n",
		"actions/a.yaml":    "description: A.\nruntime: python\nentry_point: a.py\ntimeout: 5s\nparameters:\n  properties:\n    api_key: {type: string}\n",
		"actions/a.py":      "#!python\nkey = 'ghp_" + strings.Repeat("a", 36) + "'\n",
		"actions/b.yaml":    "runtime: cobol\nentry_point: b.sh\n",
		"actions/b.sh":      "#!/bin/sh\r\necho\r\n",
		"actions/c.yaml":    "description: C.\nruntime: native\nentry_point: tool\ntimeout: 5s\nparameters: {additionalProperties: false}\n",
		"tool*":             "echo\n",
		"actions/d.yaml":    "description: D.\nruntime: shell\nentry_point: d.sh\ntimeout: 5s\nparameters: {additionalProperties: false}\n",
		"d.sh":              "echo\r\n",
		"triggers/t.yaml":   "description: T.\npayload: {}\n",
		"triggers/u.yaml":   "description: U.\n",
		"rules/r.yaml":      "trigger: web.u\naction: core.log\n",
		"requirements.txt":  "requests>=2\nsix==1.16.0 --hash=sha256:" + strings.Repeat("0", 64) + "\n",
		"package.json":      `{"dependencies": {"x": "1.0.0"}}`,
		".env":              "A=b\n",
		"tests/t.yaml":      "cases: [{name: x, action: a}, {name: y}]\n",
		"actions/wrong.yml": "runtime: shell\n",
	}
	_, found := Check(os.DirFS(write(t, files)), CheckOptions{Runtimes: []string{"shell", "python", "native"}})
	var got []string
	for _, m := range found {
		got = append(got, fmt.Sprintf("%s:%d:%d %s", m.File, m.Line, m.Column, m.Code))
		if m.Hint == "" {
			t.Errorf("%s: no hint", m)
		}
	}
	want := []string{
		".env:0:0 W222",
		"actions/a.py:1:3 W220", "actions/a.py:2:8 W222",
		"actions/a.yaml:5:1 W204", "actions/a.yaml:7:5 W206",
		"actions/b.sh:1:10 W221",
		"actions/b.yaml:1:1 W201", "actions/b.yaml:1:1 W202", "actions/b.yaml:1:1 W203", "actions/b.yaml:1:10 W205",
		"actions/wrong.yml:1:1 E121", "actions/wrong.yml:1:1 W201", "actions/wrong.yml:1:1 W202", "actions/wrong.yml:1:1 W203",
		"d.sh:1:1 W221", "package.json:0:0 E181",
		"pack.yaml:1:1 W201", "pack.yaml:1:1 I303", "pack.yaml:1:1 I301",
		"requirements.txt:1:1 W230", "requirements.txt:1:1 I305",
		"rules/r.yaml:1:1 W201", "tests/t.yaml:1:31 E190", "tool:1:1 W220",
		"triggers/t.yaml:1:1 W210", "triggers/u.yaml:1:1 I304",
	}
	slices.Sort(got)
	slices.Sort(want)
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("missing: %s", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("unexpected: %s", g)
		}
	}
}

func TestCheckOfAGoodPackFindsOnlyWhatIsNotTested(t *testing.T) {
	t.Parallel()
	p, found := Check(os.DirFS(write(t, map[string]string{
		"pack.yaml": "name: web\nversion: 1.0.0\ndescription: W.\n", "README.md": "x",
		"actions/a.yaml": "description: A.\nruntime: shell\nentry_point: a.sh\ntimeout: 5s\nparameters: {additionalProperties: false}\n",
		"actions/b.yaml": "description: B.\nruntime: shell\nentry_point: a.sh\ntimeout: 5s\nparameters: {additionalProperties: false}\n",
		"actions/a.sh":   "#!/bin/sh\necho\n", "tests/a.yaml": "cases: [{name: x, action: a}]\n",
	})), CheckOptions{})
	if len(found) != 1 || found[0].Code != codeNoTest || found[0].File != "actions/b.yaml" || p.Name != "web" || len(p.Actions) != 2 {
		t.Error(found, p)
	}
}

// FuzzCheck checks that nothing in an action, a test and what a pack needs makes a check panic, and that every finding
// has a code that is explained, a place within its file, and what to do.
func FuzzCheck(f *testing.F) {
	f.Add("runtime: shell\nentry_point: a.sh\n", "cases: [{name: x, action: a}]\n", "six==1.0\n", "#!/bin/sh\r\n")
	f.Add("parameters: {properties: {token: {}}}\n", "cases: [{name: x, event: {trigger: t}, expect: {rules: {r: null}}}]\n", "\\\n", "\x7fELF")
	f.Fuzz(func(t *testing.T, action, test, requirements, script string) {
		_, found := Check(fstest.MapFS{
			"pack.yaml": {Data: []byte("name: web\nversion: 1.0.0\n")}, "actions/a.yaml": {Data: []byte(action)}, "a.sh": {Data: []byte(script)},
			"tests/a.yaml": {Data: []byte(test)}, "requirements.txt": {Data: []byte(requirements)},
		}, CheckOptions{Runtimes: []string{"shell"}})
		for _, m := range found {
			if _, known := explained[m.Code]; !known || m.Hint == "" || m.Line < 0 || (m.Line == 0) != (m.Column == 0) {
				t.Errorf("%+v", m)
			}
		}
	})
}
