package attunetest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/services/attune/attunetest"
)

const apiKey = `k3y/of "the" API+'x'`

// careful says how the programs of the page about secrets become actions, by their file.
var careful = map[string]struct {
	runtime, entry string
	needs          []string // programs without which it cannot run
	want           string   // its result
}{
	"call.py":   {"python", "call.py", []string{"python3"}, `{"caller":"***"}`},
	"child.py":  {"python", "child.py", []string{"python3", "curl"}, `{"caller":"***"}`},
	"call.sh":   {"shell", "call.sh", []string{"jq", "curl"}, `{"caller":"***"}`},
	"call.js":   {"node", "call.js", []string{"node"}, `{"caller":"***"}`},
	"call.go":   {"native", "call", []string{"go"}, `{"caller":"***"}`},
	"query.py":  {"python", "query.py", []string{"python3"}, ``},
	"derive.sh": {"shell", "derive.sh", []string{"jq", "rev"}, `{"session":"***"}`},
}

// Every program that the page about secrets shows does what the page says, and no output of it shows the secret.
func TestTheProgramsAboutSecretsRunAsTheyStand(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || caller != apiKey {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"caller": caller})
	}))
	t.Cleanup(server.Close)
	programs := programsOf(t, "secure-secret-handling.md")
	files := map[string]string{"pack.yaml": "name: careful\nversion: 1.0.0\ndescription: the page's programs\n"}
	actions := map[string]string{} // file to action
	for file, text := range programs {
		c, ok := careful[file]
		if !ok {
			t.Errorf("the page shows %s, and nothing runs it", file)
		}
		if missing := lacking(c.needs); missing != "" {
			t.Logf("SKIPPED %s: %s is not installed", file, missing)
			continue
		}
		name := strings.ReplaceAll(file, ".", "-")
		actions[file] = name
		files["actions/"+file] = text
		files["actions/"+name+".yaml"] = "description: is careful\nruntime: " + c.runtime + "\nentry_point: " + c.entry + "\nsecrets: [API_KEY]\n"
	}
	if len(programs) != len(careful) {
		t.Errorf("the page shows %d programs, want %d", len(programs), len(careful))
	}
	dir := attunetest.Pack(t, files)
	if actions["call.go"] != "" {
		build(t, filepath.Join(dir, "actions"), "call")
	}
	in := attunetest.Start(t, attunetest.Options{AllRuntimes: true})
	if out := in.Feed(apiKey, "secret", "set", "API_KEY"); out.Code != 0 {
		t.Fatalf("secret set: %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	if out := in.Run("pack", "install", dir); out.Code != 0 {
		t.Fatalf("pack install: %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	for file, action := range actions {
		runCareful(t, in, file, action, server.URL)
	}
}

func lacking(needs []string) string {
	for _, program := range needs {
		if _, err := exec.LookPath(program); err != nil {
			return program
		}
	}
	return ""
}

func runCareful(t *testing.T, in *attunetest.Instance, file, action, url string) {
	t.Helper()
	command := `["sh","-c","grep -c -F API+ \"$PGPASSFILE\"; tr '\\0' '\\n' </proc/self/environ | grep -c API+; cat \"$PGPASSFILE\""]`
	out := in.Run("run", "careful."+action, "url="+url, "command:="+command, "--wait", "--json")
	var x api.Execution
	if err := json.Unmarshal([]byte(out.Stdout), &x); err != nil {
		t.Errorf("%s: exit %d, %v\n%s%s", file, out.Code, err, out.Stdout, out.Stderr)
		return
	}
	logs := in.Run("logs", x.ID)
	var result bytes.Buffer
	if len(x.Result) > 0 {
		_ = json.Compact(&result, x.Result) // it is JSON, like what is around it
	}
	if result.String() != careful[file].want || out.Code != 0 {
		t.Errorf("%s: exit %d, result %s, %+v\n%s", file, out.Code, x.Result, x.Error, logs.Stdout)
	}
	all := fmt.Sprint(out.Stdout, logs.Stdout, logs.Stderr)
	if strings.Contains(all, "k3y") || strings.Contains(all, "IPA") {
		t.Errorf("%s shows the secret: %s", file, all)
	}
	if file == "query.py" && !strings.Contains(logs.Stdout, "1\n0\n*:*:*:*:***\n") {
		t.Errorf("%s: %s", file, logs.Stdout)
	}
}
