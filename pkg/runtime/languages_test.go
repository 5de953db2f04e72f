package runtime_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/runtime"
)

// need skips a test where a runtime is not installed.
func need(t *testing.T, name string) runtime.Found {
	t.Helper()
	found := of(name, detected())
	if len(found) == 0 {
		t.Skipf("no %s on this machine: actions in it are not tested", name)
	}
	return found[0]
}

// echoes are programs that read their input, say a part of it and write a result, by runtime.
var echoes = map[string]struct{ file, text string }{
	"ruby": {"a.rb", `require "json"; given = JSON.parse($stdin.read); puts given["parameters"]["x"]; File.write(ENV["ATTUNE_RESULT_FILE"], {x: 2}.to_json)`},
	"perl": {"a.pl", `use strict; use JSON::PP; use Greeting; binmode STDOUT, ":utf8"; local $/; my $given = decode_json(<STDIN>); print "$given->{parameters}{x}\n";
		open(my $f, ">", $ENV{ATTUNE_RESULT_FILE}) or die; print $f encode_json({x => Greeting::two()});`},
	"php": {"a.php", `<?php $given = json_decode(file_get_contents("php://stdin"), true); echo $given["parameters"]["x"], "\n";
		file_put_contents(getenv("ATTUNE_RESULT_FILE"), json_encode(["x" => 2]));`},
	"deno": {"a.ts", `const given: any = JSON.parse(await new Response(Deno.stdin.readable).text()); console.log(given.parameters.x);
		Deno.writeTextFileSync(Deno.env.get("ATTUNE_RESULT_FILE")!, JSON.stringify({ x: 2 }));`},
	"bun": {"a.ts", `const given: any = await Bun.stdin.json(); console.log(given.parameters.x);
		await Bun.write(process.env.ATTUNE_RESULT_FILE!, JSON.stringify({ x: 2 }));`},
}

func TestProgramsInFurtherLanguages(t *testing.T) {
	t.Parallel()
	for name, program := range echoes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			need(t, name)
			dir := packOf(t, map[string]string{program.file: program.text, "lib/Greeting.pm": "package Greeting; sub two { return 2 } 1;\n"})
			out := call(t, set(t, detected()), dir, pack.Action{Runtime: name, EntryPoint: program.file}, given(`{"x": "ü1"}`))
			if out.ExitCode != 0 || out.stdout != "ü1\n" || out.result != `{"x":2}` {
				t.Errorf("exit %d, stdout %q, result %q, stderr %s", out.ExitCode, out.stdout, out.result, out.stderr)
			}
		})
	}
}

const rubyActions = `
require_relative "helper"

def run(host:, force: false, secrets: nil, config: nil, execution: nil)
  puts "log #{NAME} #{ARGV.length}"
  { host: host, secret: secrets["KEY"], url: config["url"], id: execution["id"] }
end

def everything(**parameters) = parameters
def nothing = puts("only a log")
def nan = 0.0 / 0
def odd = [Object.new]
def fail! = raise("no good")
def leave = exit(7)
`

func TestRubyFunctions(t *testing.T) {
	t.Parallel()
	need(t, "ruby")
	dir := packOf(t, map[string]string{"actions/act.rb": rubyActions, "actions/helper.rb": "NAME = 'helper'\n"})
	s := set(t, detected())
	for _, tt := range []struct {
		function, parameters, result string
		exit                         int
		stderr                       string
	}{
		{"run", `{"host": "ü"}`, `{"host":"ü","secret":"s3cret","url":"u","id":"id1"}`, 0, ""},
		{"everything", `{"a": [9007199254740993, {"b": null}]}`, `{"a":[9007199254740993,{"b":null}]}`, 0, ""},
		{"nothing", `{}`, ``, 0, ""},
		{"nan", `{}`, `!NaN is not JSON`, 0, ""},
		{"odd", `{}`, `!a Object is not JSON`, 0, ""},
		{"leave", `{}`, ``, 7, ""},
		{"run", `{"hots": 1}`, ``, 1, "missing keyword: :host"},
		{"system", `{}`, ``, 1, "act.rb has no method system"},
		{"missing", `{}`, ``, 1, "act.rb has no method missing"},
	} {
		out := call(t, s, dir, pack.Action{Runtime: "ruby", EntryPoint: "actions/act.rb:" + tt.function}, given(tt.parameters))
		if out.ExitCode != tt.exit || !strings.HasPrefix(out.result, tt.result) || (tt.result == "") != (out.result == "") || !strings.Contains(out.stderr, tt.stderr) {
			t.Errorf("%s: exit %d, result %q, stderr %q", tt.function, out.ExitCode, out.result, out.stderr)
		}
	}
}

func TestBunFunctions(t *testing.T) {
	t.Parallel()
	need(t, "bun")
	dir := packOf(t, map[string]string{"act.ts": "export async function run({ host }: { host: string }, { secrets }: any) { return { host, secret: secrets.KEY, argv: process.argv.length } }\n"})
	out := call(t, set(t, detected()), dir, pack.Action{Runtime: "bun", EntryPoint: "act.ts:run"}, given(`{"host": "ü"}`))
	if out.ExitCode != 0 || out.result != `{"host":"ü","secret":"s3cret","argv":2}` {
		t.Errorf("exit %d, result %q, stderr %q", out.ExitCode, out.result, out.stderr)
	}
}

// build runs the tasks that a definition gives for a pack, as a builder would.
func build(t *testing.T, name, dir string) (env string) {
	t.Helper()
	d, _ := runtime.Define(definitions(), name)
	env = t.TempDir()
	tasks, err := d.Tasks(runtime.Site{Pack: dir, Env: env, Interpreter: need(t, name), Path: runtime.DefaultPath})
	if err != nil || len(tasks) == 0 {
		t.Fatalf("%+v %v", tasks, err)
	}
	for _, task := range tasks {
		cmd := exec.CommandContext(t.Context(), task.Path, task.Args...) //nolint:gosec // what the definition says
		cmd.Dir, cmd.Env = dir, append(task.Env, "HOME="+t.TempDir(), "LANG=C.UTF-8")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", task.Name, err, out)
		}
	}
	return env
}

// built runs an action with what was built for it.
func built(t *testing.T, dir, env string, a pack.Action) outcome {
	t.Helper()
	return callAt(t, set(t, detected()), runtime.Location{Pack: dir, Env: env}, a, given("{}"))
}

func TestRubyHasTheGemsOfItsLockFile(t *testing.T) {
	t.Parallel()
	need(t, "ruby")
	if _, err := exec.LookPath("bundle"); err != nil {
		t.Skip("no bundler on this machine: gems are not tested")
	}
	dir := packOf(t, map[string]string{
		"Gemfile":                    "gem 'greet', path: 'vendor/greet'\n",
		"Gemfile.lock":               "PATH\n  remote: vendor/greet\n  specs:\n    greet (1.0.0)\n\nGEM\n  specs:\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  greet!\n",
		"vendor/greet/greet.gemspec": "Gem::Specification.new { |s| s.name = 'greet'; s.version = '1.0.0'; s.summary = 'x'; s.authors = ['x']; s.files = ['lib/greet.rb'] }\n",
		"vendor/greet/lib/greet.rb":  "module Greet; WORD = 'hello'; end\n",
		"a.rb":                       "require 'greet'; puts Greet::WORD\ndef word = Greet::WORD\n",
	})
	env := build(t, "ruby", dir)
	for _, entry := range []string{"a.rb", "a.rb:word"} {
		if out := built(t, dir, env, pack.Action{Runtime: "ruby", EntryPoint: entry}); out.ExitCode != 0 || out.stdout != "hello\n" {
			t.Errorf("%s: %+v", entry, out)
		}
	}
	if _, err := os.Stat(dir + "/.bundle"); err == nil {
		t.Error("the build wrote into the pack")
	}
}

func TestNativeProgramsAreMadeByTheirMakefile(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("no make on this machine: native builds are not tested")
	}
	dir := packOf(t, map[string]string{"Makefile": "build:\n\tprintf '#!/bin/sh\\necho made\\n' > tool && chmod +x tool\n"})
	build(t, runtime.Native, dir)
	if out := call(t, set(t, detected()), dir, pack.Action{Runtime: runtime.Native, EntryPoint: "tool"}, "{}"); out.stdout != "made\n" {
		t.Errorf("%+v", out)
	}
	d, _ := runtime.Define(definitions(), runtime.Native)
	for _, text := range []string{"all:\n\ttrue\n", "rebuild:\n", "# build:\n"} {
		if tasks, err := d.Tasks(runtime.Site{Pack: packOf(t, map[string]string{"Makefile": text})}); err != nil || len(tasks) > 0 {
			t.Errorf("%q: %+v %v", text, tasks, err)
		}
	}
}

func TestPHPHasThePackagesOfItsLockFile(t *testing.T) {
	t.Parallel()
	need(t, "php")
	if _, err := exec.LookPath("composer"); err != nil {
		t.Skip("no composer on this machine: PHP's packages are not tested")
	}
	dir := packOf(t, map[string]string{
		"composer.json":                `{"repositories": [{"packagist.org": false}, {"type": "path", "url": "vendored/greet", "options": {"symlink": false}}], "require": {"attune/greet": "1.0.0"}}`,
		"vendored/greet/composer.json": `{"name": "attune/greet", "version": "1.0.0", "autoload": {"psr-4": {"Greet\\": "src/"}}}`,
		"vendored/greet/src/Word.php":  "<?php namespace Greet; class Word { const WORD = 'hello'; }\n",
		"a.php":                        "<?php echo Greet\\Word::WORD, \"\\n\";\n",
		"composer.lock":                `{"content-hash": "x", "packages": [{"name": "attune/greet", "version": "1.0.0", "dist": {"type": "path", "url": "vendored/greet"}, "type": "library", "autoload": {"psr-4": {"Greet\\": "src/"}}, "transport-options": {"symlink": false, "relative": true}}], "packages-dev": [], "aliases": [], "minimum-stability": "stable", "stability-flags": [], "prefer-stable": false, "prefer-lowest": false, "platform": [], "platform-dev": []}`,
	})
	env := build(t, "php", dir)
	if out := built(t, dir, env, pack.Action{Runtime: "php", EntryPoint: "a.php"}); out.ExitCode != 0 || out.stdout != "hello\n" {
		t.Errorf("%+v", out)
	}
}

func TestBunAndDenoHaveWhatTheirLockFilesName(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"bun": {
			"package.json":                `{"dependencies": {"greet": "file:vendored/greet"}}`,
			"bun.lock":                    `{"lockfileVersion": 1, "workspaces": {"": {"dependencies": {"greet": "file:vendored/greet"}}}, "packages": {"greet": ["greet@file:vendored/greet", {}]}}`,
			"vendored/greet/package.json": `{"name": "greet", "version": "1.0.0", "main": "index.js"}`,
			"vendored/greet/index.js":     `exports.WORD = "hello"`,
		},
		"deno": {
			"deno.json": `{"imports": {"greet": "./vendored/greet.ts"}}`, "deno.lock": `{"version": "5"}`,
			"vendored/greet.ts": `export const WORD = "hello"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			need(t, name)
			files["a.ts"] = "import { WORD } from 'greet'; console.log(WORD);\n"
			dir := packOf(t, files)
			env := build(t, name, dir)
			if out := built(t, dir, env, pack.Action{Runtime: name, EntryPoint: "a.ts"}); out.ExitCode != 0 || out.stdout != "hello\n" {
				t.Errorf("%+v", out)
			}
		})
	}
}

func pythonAction() pack.Action {
	return pack.Action{Name: "a", Runtime: runtime.Python, EntryPoint: "a.py"}
}

const pythonActions = `
import sys
import helper

def run(host, force=False, secrets=None, config=None, execution=None):
    print("log", helper.NAME, sys.argv[1:])
    return {"host": host, "force": force, "secret": secrets["KEY"], "url": config["url"], "id": execution["id"]}

async def later(n):
    return n + 1

def everything(**parameters):
    return parameters

def nothing():
    print("only a log")

def nan():
    return float("nan")

def odd():
    return {1, 2}

def fail():
    raise ValueError("no good")

def leave():
    sys.exit(7)

value = 3
`

func TestPythonFunctions(t *testing.T) {
	t.Parallel()
	dir := packOf(t, map[string]string{"actions/act.py": pythonActions, "actions/helper.py": "NAME = 'helper'\n"})
	found := of(runtime.Python, detected())
	if len(found) == 0 {
		t.Fatal("no Python")
	}
	tests := []struct {
		function, parameters, result string
		exit                         int
		stderr                       string
	}{
		{"run", `{"host": "ü", "force": true}`, `{"host": "\u00fc", "force": true, "secret": "s3cret", "url": "u", "id": "id1"}`, 0, ""},
		{"later", `{"n": 9007199254740993}`, `9007199254740994`, 0, ""},
		{"everything", `{"a": [1, {"b": null}]}`, `{"a": [1, {"b": null}]}`, 0, ""},
		{"nothing", `{}`, ``, 0, ""},
		{"nan", `{}`, `NaN`, 0, ""},
		{"odd", `{}`, `!Object of type`, 0, ""},
		{"fail", `{}`, ``, 1, "no good"},
		{"leave", `{}`, ``, 7, ""},
		{"run", `{"hots": 1}`, ``, 1, "unexpected keyword argument 'hots'"},
		{"value", `{}`, ``, 1, "has no function value"},
		{"missing", `{}`, ``, 1, "act.py has no function missing"},
	}
	for i, f := range found {
		some := tests[:2] // those between the newest and the oldest differ in nothing that the wrapper uses
		if i == 0 || i == len(found)-1 {
			some = tests
		}
		t.Run(f.Version, func(t *testing.T) {
			t.Parallel()
			s := set(t, []runtime.Found{f})
			for _, tt := range some {
				out := call(t, s, dir, pack.Action{Runtime: runtime.Python, EntryPoint: "actions/act.py:" + tt.function}, given(tt.parameters))
				if out.ExitCode != tt.exit || !strings.HasPrefix(out.result, tt.result) || (tt.result == "") != (out.result == "") || !strings.Contains(out.stderr, tt.stderr) {
					t.Errorf("%s: exit %d, result %q, stderr %q", tt.function, out.ExitCode, out.result, out.stderr)
				}
			}
		})
	}
}
