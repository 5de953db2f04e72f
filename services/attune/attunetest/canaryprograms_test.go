package attunetest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/services/attune/attunetest"
)

// The programs prove by digests that they were given the very values, and end as mode says. When they print, they do it
// in every way that masking promises to see.
const (
	canaryPython = `import base64, hashlib, json, os, sys, time, urllib.parse
def run(mode, password, note, secrets, config):
    values = [secrets["CANARY_DECLARED"], password, note, config["token"]]
    print("proof", " ".join(hashlib.sha256(v.encode()).hexdigest() for v in values), flush=True)
    if mode == "print":
        for v in values:
            for out in (sys.stdout, sys.stderr):
                print("raw", v, json.dumps(v), json.dumps(v, ensure_ascii=False), urllib.parse.quote(v), urllib.parse.quote_plus(v), v.encode().hex(), file=out)
                for before in range(3):
                    print(base64.b64encode(b"x" * before + v.encode() + b"y").decode(), base64.urlsafe_b64encode(b"x" * before + v.encode()).decode(), file=out)
            for c in v:
                sys.stdout.write(c)
                sys.stdout.flush()
    if mode == "fail":
        raise ValueError(" ".join(values))
    if mode == "timeout":
        time.sleep(1000)
    if mode == "crash":
        os.abort()
    return {"values": values, values[0]: values[1]}
`
	canaryNode = `import { createHash } from "node:crypto";
export function run({ mode, password, note }, { secrets, config }) {
  const values = [secrets.CANARY_DECLARED, password, note, config.token];
  console.log("proof", ...values.map((v) => createHash("sha256").update(v).digest("hex")));
  if (mode === "print") for (const v of values) {
    const b = Buffer.from("xx" + v);
    console.log(v, JSON.stringify({ [v]: v }), encodeURIComponent(v), b.toString("hex"), b.toString("base64"), b.toString("base64url"));
    console.error(values);
  }
  if (mode === "fail") throw new Error(values.join(" "));
  if (mode === "timeout") { setInterval(() => {}, 1000); return new Promise(() => {}); }
  if (mode === "crash") process.abort();
  return { values };
}
`
	canaryShell = `#!/bin/sh
printf 'proof'
for v in "$CANARY_DECLARED" "$password" "$note"; do printf '%s' "$v" | sha256sum | cut -d' ' -f1 | tr '\n' ' '; done | sed 's/^/ /; s/ $//'
echo
case $mode in
print) for v in "$CANARY_DECLARED" "$password" "$note"; do
	echo "raw $v"; echo "$v" >&2; printf 'x%s' "$v" | base64; printf '%s' "$v" | od -An -v -tx1 | tr -d ' \n'; echo
	done; set -x; : "$password" ;;
fail) echo "$password" >&2; exit 3 ;;
timeout) echo "$password"; exec sleep 1000 ;;
crash) kill -SEGV $$ ;;
esac
echo "{\"n\":1}" > "$ATTUNE_RESULT_FILE"
`
	canaryNative = `package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"
)

type given struct {
	Parameters struct{ Mode, Password, Note string }
	Secrets    map[string]string
	Config     struct{ Token string }
}

func main() {
	var g given
	if err := json.NewDecoder(os.Stdin).Decode(&g); err != nil {
		panic(err)
	}
	values := []string{g.Secrets["CANARY_DECLARED"], g.Parameters.Password, g.Parameters.Note, g.Config.Token}
	fmt.Print("proof")
	for _, v := range values {
		fmt.Printf(" %x", sha256.Sum256([]byte(v)))
	}
	fmt.Println()
	switch g.Parameters.Mode {
	case "print":
		for _, v := range values {
			fmt.Printf("%s %q %x %X\n", v, v, v, v)
			fmt.Fprintln(os.Stderr, values)
		}
	case "fail":
		panic(fmt.Sprint(values))
	case "timeout":
		time.Sleep(time.Hour)
	case "crash":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		select {}
	}
	text, err := json.Marshal(values)
	if err == nil {
		err = os.WriteFile(os.Getenv("ATTUNE_RESULT_FILE"), text, 0o600)
	}
	if err != nil {
		panic(err)
	}
}
`
	canaryContainer = `#!/bin/sh
given=$(cat)
mode=${given#*\"mode\":\"}; mode=${mode%%\"*}
printf 'proof '; printf '%s' "$given" | sha256sum | cut -d' ' -f1
case $mode in
print) printf '%s\n' "$given"; printf '%s\n' "$given" >&2; printf '%s' "$given" | base64 ;;
fail) printf '%s\n' "$given" >&2; exit 3 ;;
esac
`
	canaryParameters = `parameters:
  type: object
  additionalProperties: false
  properties:
    mode: {type: string}
    note: {type: string}
    password: {type: string, minLength: 8, secret: true}
secrets: [CANARY_DECLARED]
`
)

// canaryRoot gives a root file system for containers, or nothing where none can be run.
func canaryRoot(t *testing.T) (root string) {
	t.Helper()
	defs, err := runtime.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	d, _ := runtime.Define(defs, runtime.Container)
	busybox, err := os.ReadFile("/bin/busybox")
	found := runtime.Detect(t.Context(), runtime.DetectConfig{Definitions: []runtime.Definition{d}, Path: os.Getenv("PATH"), Home: t.TempDir()})
	if err != nil || len(found) == 0 {
		t.Logf("SKIPPED container: no podman that can run one, or no busybox to put into it: %v", err)
		return ""
	}
	root = filepath.Join(t.TempDir(), "root")
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin", "busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "cat", "base64", "sha256sum", "cut"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// canaryPack makes the pack, with an action for each runtime that is here, and lists those.
func canaryPack(t *testing.T, root string) (dir string, actions []string) {
	t.Helper()
	files := map[string]string{
		"pack.yaml":          "name: canary\nversion: 1.0.0\ndescription: For tests.\nconfig: {type: object, properties: {token: {type: string, secret: true}}}\n",
		"triggers/seen.yaml": "description: For tests.\n",
		"rules/seen.yaml": "trigger: seen\naction: shell\nparameters:\n  mode: ${{ event.payload.mode }}\n" +
			"  password: ${{ secrets.CANARY_RULE }}\n  note: \"Bearer ${{ secrets.CANARY_RULE }}\"\n",
	}
	add := func(name, needs, runtime, entry, file, text string) {
		if _, err := exec.LookPath(needs); err != nil {
			t.Logf("SKIPPED %s: %s is not installed", name, needs)
			return
		}
		actions = append(actions, name)
		definition := "description: For tests.\n" + runtime + "entry_point: " + entry + "\n" + canaryParameters
		files["actions/"+name+".yaml"] = definition
		files["actions/"+name+"-late.yaml"] = definition + "timeout: 3s\n"
		files["actions/"+file] = text
	}
	add("shell", "sh", "runtime: shell\nvariables: true\n", "shell.sh", "shell.sh", canaryShell)
	add("python", "python3", "runtime: python\n", "py.py:run", "py.py", canaryPython)
	add("node", "node", "runtime: node\n", "js.mjs:run", "js.mjs", canaryNode)
	add("native", "go", "runtime: native\n", "native", "native.go", canaryNative)
	if root != "" {
		add("container", "podman", "runtime: container\ncontainer: {rootfs: "+root+"}\n", "container.sh", "container.sh", canaryContainer)
	}
	dir = attunetest.Pack(t, files)
	if _, ok := files["actions/native.go"]; ok {
		build(t, filepath.Join(dir, "actions"), "native")
		if err := os.Remove(filepath.Join(dir, "actions", "native.go")); err != nil {
			t.Fatal(err)
		}
	}
	return dir, actions
}
