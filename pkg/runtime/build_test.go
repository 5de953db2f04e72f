package runtime_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/runtime"
)

// commands gives what builds a pack, each as a line.
func commands(t *testing.T, name string, at runtime.Site) (lines []string) {
	t.Helper()
	d, ok := runtime.Define(definitions(), name)
	if !ok {
		t.Fatalf("no runtime %s", name)
	}
	tasks, err := d.Tasks(at)
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		lines = append(lines, strings.Join(append([]string{task.Path}, task.Args...), " "))
		if task.Name == "" || len(task.Env) == 0 || !strings.HasPrefix(task.Env[0], "PATH=") {
			t.Errorf("%+v", task)
		}
	}
	return lines
}

func TestPythonsBuildFollowsTheOperator(t *testing.T) {
	t.Parallel()
	plain := packOf(t, map[string]string{"requirements.txt": "wheel==1 # not --hashed\n"})
	hashed := packOf(t, map[string]string{"requirements.txt": "wheel==1 \\\n  --hash=sha256:00\n"})
	tools := interpreters(t, map[string]string{"with/uv": "", "without/x": ""})
	python := runtime.Found{Name: runtime.Python, Version: "3.12.1", Path: "/opt/py/bin/python3"}
	all := map[string]string{"pip_index_url": "https://i/simple", "pip_find_links": "/w", "pip_allow_source": "yes"}
	for name, tt := range map[string]struct {
		pack, tools string
		options     map[string]string
		want        string // after the name of the file
	}{
		"wheels only":     {plain, "without", nil, " --only-binary=:all:"},
		"hashes":          {hashed, "without", nil, " --only-binary=:all: --require-hashes"},
		"all that is set": {hashed, "without", all, " --require-hashes --index-url https://i/simple --find-links /w"},
		"uv where it is":  {plain, "with", nil, " --only-binary=:all:"},
	} {
		got := commands(t, runtime.Python, runtime.Site{Pack: tt.pack, Env: "/e", Interpreter: python, Path: filepath.Join(tools, tt.tools), Options: tt.options})
		if len(got) != 2 {
			t.Errorf("%s: %q", name, got)
			continue
		}
		begin := python.Path
		if tt.tools == "with" {
			begin = filepath.Join(tools, "with/uv")
		}
		_, after, _ := strings.Cut(got[1], "requirements.txt")
		if !strings.HasPrefix(got[0], begin+" ") || after != tt.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	at := runtime.Site{Pack: packOf(t, map[string]string{"a.py": ""}), Env: "/e", Interpreter: python, Options: all}
	if got := commands(t, runtime.Python, at); len(got) > 0 {
		t.Errorf("there are no requirements: %q", got)
	}
}

func TestNodesBuildUsesTheNpmBesideNode(t *testing.T) {
	t.Parallel()
	tools := interpreters(t, map[string]string{"v20/npm": "", "v22/npm": ""})
	node := runtime.Found{Name: runtime.Node, Path: filepath.Join(tools, "v20/node")}
	at := runtime.Site{Pack: packOf(t, map[string]string{"package-lock.json": "{}"}), Env: "/e", Interpreter: node, Path: filepath.Join(tools, "v22")}
	npm := filepath.Join(tools, "v20/npm") + " ci --omit=dev --no-audit --no-fund"
	if diff := cmp.Diff([]string{npm + " --ignore-scripts"}, commands(t, runtime.Node, at)); diff != "" {
		t.Error(diff)
	}
	at.Options = map[string]string{"npm_allow_scripts": "yes", "npm_registry": "https://r"}
	if diff := cmp.Diff([]string{npm + " --registry https://r"}, commands(t, runtime.Node, at)); diff != "" {
		t.Error(diff)
	}
	at.Pack = packOf(t, map[string]string{"package.json": "{}"})
	if got := commands(t, runtime.Node, at); len(got) > 0 {
		t.Errorf("there is no lock file: %q", got)
	}
}

func TestConditionsLookOnlyIntoThePack(t *testing.T) {
	t.Parallel()
	defs, err := defined(t, map[string]string{"x.yaml": `
detect: {programs: [x], ask: [-v]}
run: {program: ["{file}"]}
build:
  - {name: outside, if: ["file:../secret"], run: [a]}
  - {name: folder, if: ["file:sub"], run: [b]}
  - {name: absolute, if: ["match:/etc/passwd:root"], run: [c]}
  - {name: unless, unless: ["file:here"], run: [d]}
  - {name: several, if: ["file:here", "option:o"], run: [e, "{option:o}", "{option:unset}", "{pack}"]}
`})
	if err != nil {
		t.Fatal(err)
	}
	dir := packOf(t, map[string]string{"p/here": "", "p/sub/x": "", "secret": ""})
	d, _ := runtime.Define(defs, "x")
	at := filepath.Join(dir, "p")
	tasks, err := d.Tasks(runtime.Site{Pack: at, Options: map[string]string{"o": "{pack}"}})
	if err != nil || len(tasks) != 1 || tasks[0].Path != "e" {
		t.Fatalf("%+v %v", tasks, err)
	}
	if diff := cmp.Diff([]string{"{pack}", "", at}, tasks[0].Args); diff != "" {
		t.Errorf("what an operator set is text: %s", diff)
	}
}

func TestWhatWasBuiltIsUsed(t *testing.T) {
	t.Parallel()
	dir := packOf(t, map[string]string{"a.py": ""})
	s := set(t, []runtime.Found{{Name: runtime.Python, Version: "3.12.1", Path: "/opt/py/bin/python3"}})
	plain, err := s.Command(runtime.Location{Pack: dir}, pythonAction())
	if err != nil || plain.Path != "/opt/py/bin/python3" || len(plain.Folders) > 0 {
		t.Errorf("%+v %v", plain, err)
	}
	c, err := s.Command(runtime.Location{Pack: dir, Env: "/e"}, pythonAction())
	if err != nil || c.Path != "/e/bin/python" {
		t.Errorf("%+v %v", c, err)
	}
	env := s.Program(c, runtime.Identity{}).Env
	if !strings.Contains(strings.Join(env, "\n"), "PATH=/e/bin"+string(os.PathListSeparator)+runtime.DefaultPath) {
		t.Errorf("%q", env)
	}
}
