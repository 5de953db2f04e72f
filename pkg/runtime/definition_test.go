package runtime_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/runtime"
)

// defined makes a folder with those files and reads it after the definitions that Attune brings.
func defined(t *testing.T, files map[string]string) ([]runtime.Definition, error) {
	t.Helper()
	return runtime.Definitions(packOf(t, files))
}

func TestTheRuntimesThatAttuneBrings(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/runtimes.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range definitions() {
		names = append(names, d.Name)
		if d.Description == "" || !strings.Contains(string(page), "| `"+d.Name+"` | ") {
			t.Errorf("%s is not described", d.Name)
		}
	}
	want := []string{"bun", "container", "deno", "native", "node", "perl", "php", "python", "ruby", "shell"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesInADefinitionAreFoundWithTheirLine(t *testing.T) {
	t.Parallel()
	const good = "detect:\n  programs: [lua]\n  ask: [-v]\nrun:\n  program: ['{file}']\n"
	for name, tt := range map[string]struct{ text, want string }{
		"unknown key":             {"detects: {}\n" + good, "x.yaml:1:"},
		"unknown key within":      {strings.Replace(good, "  ask", "  path: [a]\n  ask", 1), "x.yaml:3:"},
		"a key twice":             {good + "run: {}\n", "x.yaml:6:"},
		"not YAML":                {"run: [\n", "x.yaml:"},
		"wrong kind":              {strings.Replace(good, "[lua]", "{a: b}", 1), "x.yaml:2:"},
		"unknown placeholder":     {strings.Replace(good, "{file}", "{parameters}", 1), "x.yaml:5: definition of a runtime is not usable: {parameters} is not known"},
		"not while building":      {good + "build:\n- name: b\n  run: [make, '{file}']\n", "x.yaml:5: definition of a runtime is not usable: {file} is not known"},
		"unknown option":          {strings.Replace(good, "{file}", "{option:A}", 1), "{option:A} is not known"},
		"no question":             {strings.Replace(good, "  ask: [-v]\n", "", 1), "x.yaml:1: definition of a runtime is not usable: detect.ask"},
		"no command":              {strings.Replace(good, "  program: ['{file}']", "  path: [/bin]", 1), "x.yaml:4: definition of a runtime is not usable: run.program"},
		"a step without name":     {good + "build:\n- run: [make]\n", "x.yaml:6: definition of a runtime is not usable: build"},
		"unknown condition":       {good + "build:\n- name: b\n  run: [make]\n  if: ['env:HOME']\n", `x.yaml:9: definition of a runtime is not usable: "env:HOME" is not a condition`},
		"condition's pattern":     {good + "build:\n- name: b\n  run: [make]\n  unless: ['match:Makefile:(']\n", "x.yaml:9:"},
		"relative folder":         {strings.Replace(good, "  ask", "  folders: [bin]\n  ask", 1), "x.yaml:3:"},
		"bad pattern":             {strings.Replace(good, "[lua]", "['lua[']", 1), "x.yaml:2:"},
		"PATH":                    {good + "  env: {PATH: /tmp}\n", `x.yaml:6: definition of a runtime is not usable: env: "PATH" cannot be set`},
		"ATTUNE's own":            {good + "  env: {ATTUNE_ACTION: x}\n", `"ATTUNE_ACTION" cannot be set`},
		"no wrapper":              {strings.Replace(good, "{file}", "{wrapper}", 1), "name the file that {wrapper} stands for"},
		"wrapper that is missing": {good + "  wrapper: gone.lua\n  function: ['{wrapper}']\n", "x.yaml:6:"},
		"wrapper outside":         {good + "  wrapper: ../x.yaml\n  function: ['{wrapper}']\n", "x.yaml:6:"},
		"wrapper nobody uses":     {good + "  wrapper: x.yaml\n", "is not used"},
		"too large":               {"# " + strings.Repeat("x", 70_000), "larger than"},
	} {
		if _, err := defined(t, map[string]string{"x.yaml": tt.text}); !errors.Is(err, runtime.ErrDefinition) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	_, err := defined(t, map[string]string{"a.yaml": "x: 1\n", "b.yaml": "y: 1\n", "Bad.yaml": good, "ok.yaml": good, "notes.txt": "x"})
	for _, want := range []string{"a.yaml:1", "b.yaml:1", "Bad.yaml"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not all mistakes are told: %v", err)
		}
	}
	if _, err := runtime.Definitions(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// with detects the runtimes of a folder of an operator's and gives a Set of them.
func with(t *testing.T, files map[string]string) *runtime.Set {
	t.Helper()
	defs, err := defined(t, files)
	if err != nil {
		t.Fatal(err)
	}
	var own []runtime.Definition
	for _, d := range defs {
		if _, ok := files[d.Name+".yaml"]; ok {
			own = append(own, d)
		}
	}
	found := runtime.Detect(t.Context(), runtime.DetectConfig{Definitions: own, Path: runtime.DefaultPath})
	s, err := runtime.NewSet(runtime.SetConfig{Definitions: defs, Found: found, Dir: t.TempDir(), Path: runtime.DefaultPath})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnOperatorAddsARuntimeByAFile(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/runtimes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "description: AWK\n")
	text, _, ok := strings.Cut(after, "```")
	if !ok {
		t.Fatal("the page about runtimes has no awk.yaml")
	}
	s := with(t, map[string]string{"awk.yaml": text + "  env: {AWKHOME: \"{pack}\"}\n"})
	dir := packOf(t, map[string]string{"a.awk": `{ print "got " $0 } END { print ENVIRON["AWKHOME"]; print "{\"lines\": " NR "}" > ENVIRON["ATTUNE_RESULT_FILE"] }`})
	out := call(t, s, dir, pack.Action{Runtime: "awk", EntryPoint: "a.awk"}, "one\ntwo\n")
	if out.ExitCode != 0 || out.stdout != "got one\ngot two\n"+dir+"\n" || out.result != "{\"lines\": 2}\n" {
		t.Errorf("%+v", out)
	}
	if _, err := s.Command(runtime.Location{Pack: dir}, pack.Action{Runtime: "awk", EntryPoint: "a.awk:f"}); !errors.Is(err, runtime.ErrEntryPoint) {
		t.Errorf("a function, and there are none: %v", err)
	}
}

func TestAnOperatorsRuntimeMayHaveFunctionsAndReplaceOneOfAttunes(t *testing.T) {
	t.Parallel()
	s := with(t, map[string]string{
		"functions.yaml": "detect: {programs: [bash], ask: [-c, echo 1]}\nrun: {program: ['{file}'], wrapper: call.sh, function: ['{wrapper}', '{file}', '{function}']}\n",
		"call.sh":        ". \"$1\"; \"$2\"\n",
		"perl.yaml":      "detect: {programs: [sh], ask: [-c, echo 99.0.0]}\nrun: {program: [-e, '{file}']}\n",
	})
	dir := packOf(t, map[string]string{"f.sh": "greet() { echo hello; }\n"})
	if out := call(t, s, dir, pack.Action{Runtime: "functions", EntryPoint: "f.sh:greet"}, "{}"); out.stdout != "hello\n" {
		t.Errorf("%+v", out)
	}
	found := of("perl", s.Found())
	if len(found) != 1 || found[0].Version != "99.0.0" {
		t.Errorf("the operator's does not win: %+v", found)
	}
}
