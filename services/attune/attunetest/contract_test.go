package attunetest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/services/attune/attunetest"
)

// written says how the programs of the contract's page become actions, by their file.
var written = map[string]struct {
	runtime, entry, more string
	needs                string // a program without which it cannot run
}{
	"restart.py":   {"python", "restart.py", "", "python3"},
	"restart.sh":   {"shell", "restart.sh", "", "jq"},
	"restart.js":   {"node", "restart.js", "", "node"},
	"restart.rb":   {"ruby", "restart.rb", "", "ruby"},
	"restart.go":   {"native", "restart", "", "go"},
	"function.py":  {"python", "function.py:run", "", "python3"},
	"function.mjs": {"node", "function.mjs:run", "", "node"},
	"variables.sh": {"shell", "variables.sh", "variables: true\noutput: json\n", "sh"},
}

// Every program that the contract's page shows does what the page says, in every language that is here.
func TestTheContractsProgramsRunAsTheyStand(t *testing.T) {
	t.Parallel()
	programs := programsOf(t, "action-contract.md")
	files := map[string]string{"pack.yaml": "name: written\nversion: 1.0.0\ndescription: the contract's programs\n"}
	actions := map[string]string{} // file to action
	for file, w := range written {
		text, ok := programs[file]
		if !ok {
			t.Errorf("the page does not show %s", file)
			continue
		}
		if _, err := exec.LookPath(w.needs); err != nil {
			t.Logf("SKIPPED %s: %s is not installed", file, w.needs)
			continue
		}
		name := strings.ReplaceAll(file, ".", "-")
		actions[file] = name
		files["actions/"+file] = text
		files["actions/"+name+".yaml"] = "description: restarts a host\nruntime: " + w.runtime + "\nentry_point: " + w.entry + "\n" + w.more +
			"parameters: {type: object, properties: {host: {type: string}}, required: [host]}\n"
	}
	for file := range programs {
		if _, ok := written[file]; !ok {
			t.Errorf("the page shows %s, and nothing runs it", file)
		}
	}
	dir := attunetest.Pack(t, files)
	if actions["restart.go"] != "" {
		build(t, filepath.Join(dir, "actions"), "restart")
	}
	in := attunetest.Start(t, attunetest.Options{AllRuntimes: true})
	if out := in.Run("pack", "install", dir); out.Code != 0 {
		t.Fatalf("pack install: %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	for file, action := range actions {
		out := in.Run("run", "written."+action, "host=web 1 $(id)", "--wait", "--json")
		var x api.Execution
		var result struct{ Restarted string }
		err := json.Unmarshal([]byte(out.Stdout), &x)
		if err == nil {
			err = json.Unmarshal(x.Result, &result)
		}
		if err != nil || result.Restarted != "web 1 $(id)" {
			t.Errorf("%s: exit %d, %v\n%s%s", file, out.Code, err, out.Stdout, out.Stderr)
		}
	}
}

// build makes a program of NAME.go, as its reader would.
func build(t *testing.T, dir, name string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", name, name+".go")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// programsOf gives the programs that a page shows, by the file that the line before each names.
func programsOf(t *testing.T, page string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	programs := map[string]string{}
	shown := regexp.MustCompile("(?ms)^[^\n]*`([a-z]+\\.[a-z]+)`[^`]*?:\n\n```[a-z]+\n(.*?)\n```$")
	for _, m := range shown.FindAllStringSubmatch(string(text), -1) {
		if filepath.Ext(m[1]) != ".yaml" {
			programs[m[1]] = m[2] + "\n"
		}
	}
	return programs
}
