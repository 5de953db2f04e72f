package environment_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/environment"
)

func TestANativeProgramIsBuiltByMake(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("there is no make")
	}
	s := newSite(t, job{Path: "/usr/local/bin:/usr/bin:/bin", PathOnly: true})
	action := "runtime: native\nentry_point: bin/tool\n"
	makefile := "build:\n\tmkdir bin && printf '#!/bin/sh\\necho made for '\"$$(uname -s)\"'\\n' > bin/tool && chmod +x bin/tool\n"
	e := s.build(archive(t, map[string]string{"actions/a.yaml": action, "Makefile": makefile}))
	out, err := exec.Command(filepath.Join(e.Pack, "bin", "tool")).Output()
	if err != nil || strings.TrimSpace(string(out)) != "made for Linux" {
		t.Errorf("%q, %v", out, err)
	}
	f := s.fails(archive(t, map[string]string{"actions/a.yaml": action, "Makefile": "build:\n\techo no compiler; false\n"}))
	if f.Class != environment.BuildFailed || !strings.HasSuffix(f.Step, "make build") || !strings.Contains(strings.Join(f.Tail, "\n"), "no compiler") {
		t.Errorf("failure: %v\n%s", f, strings.Join(f.Tail, "\n"))
	}
}
