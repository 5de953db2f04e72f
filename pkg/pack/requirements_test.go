package pack_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/attune/attune/pkg/pack"
)

// mistakesOf loads a pack with files, and gives its mistakes as text.
func mistakesOf(t testing.TB, files map[string]string) string {
	t.Helper()
	fsys := fstest.MapFS{"pack.yaml": {Data: []byte("name: p\nversion: 1.0.0\n")}}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	_, err := pack.LoadFS(fsys)
	if err == nil {
		return ""
	}
	if _, ok := errors.AsType[pack.Mistakes](err); !ok {
		t.Fatalf("not mistakes: %v", err)
	}
	return err.Error()
}

func TestRequirementsMayNameVersionsAndHashes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "# nothing\n", "requests\n", "requests>=2, <3  # comment\n", "a[b,c]==1.0.*\n", "a (>=1)\n", "a ~= 1.4.2 ; python_version < '3.9' and sys_platform == 'linux'\n",
		"a==1.0 \\\n    --hash=sha256:00ff \\\n    --hash=sha256:11ee\n", "--require-hashes\n--only-binary :all:\n--only-binary=:all:\n--pre\na\r\nb\r\n",
		"-r more.txt\n", "-rmore.txt\n", "--requirement more.txt\n--constraint=sub/c.txt\n-c sub/c.txt\n", "# -*- coding: utf-8 -*-\na\n", "a===1+local\n",
	} {
		if got := mistakesOf(t, map[string]string{"requirements.txt": text, "more.txt": "-r requirements.txt\nx\n", "sub/c.txt": "-r ../more.txt\n"}); got != "" {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestRequirementsMayNotSayWherePackagesComeFrom(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"--index-url https://evil\n", "-i https://evil\n", "-ihttps://evil\n", "--extra-index-url=https://evil\n", "--extra-index https://evil\n", "--find-links .\n", "-f .\n",
		"--trusted-host evil\n", "-e .\n", "-e git+ssh://git@host/x\n", "--editable=.\n", "--no-binary :all:\n", "a --install-option=x\n", "a --global-option=x\n", "a --config-settings x=y\n",
		"git+https://host/x\n", "https://host/x.whl\n", "file:///etc/x\n", "./x\n", "../x.whl\n", "/x\n", ".\n", "x.whl @ file:x\n", "a @ https://host/a.whl\n", "a@https://host\n",
		"a[b] @ git+https://host/a\n", "-r ../x.txt\n", "-r /etc/passwd\n", "-r https://host/x.txt\n", "-c https://host/x.txt\n", "-r missing.txt\n", "${HOME}\n", "a ; x == '@https://b'\n",
		"a \\\n--index-url https://evil\n", "\\\n--index-url https://evil\n", "# c\\\n--index-url https://evil\n", "# c\u2028--index-url https://evil\n", "# c\r--index-url https://evil\n",
		"# c\x0b--index-url https://evil\n", "# c\u0085--index-url https://evil\n", "# coding: utf-7\na\n", "\xff\xfe-\x00i\x00", "\ufeffa\n", "a\x00\n", "-r\n", "-\n", "--\n",
	} {
		got := mistakesOf(t, map[string]string{"requirements.txt": text})
		if !strings.HasPrefix(got, "requirements.txt:1:1: ") && !strings.HasPrefix(got, "requirements.txt:2:1: ") {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestAnIncludedFileIsCheckedToo(t *testing.T) {
	t.Parallel()
	got := mistakesOf(t, map[string]string{"requirements.txt": "a\n-r sub/more.txt\n", "sub/more.txt": "b\n\n-e .\n"})
	if want := `sub/more.txt:3:1: option -e is not allowed: the operator says where packages come from and how they are installed`; got != want {
		t.Errorf("%q is not %q", got, want)
	}
}

func TestNodePackagesAreLocked(t *testing.T) {
	t.Parallel()
	wants := `{"dependencies": {"a": "^1.0.0"}}`
	lock := func(resolved string) string {
		return `{"lockfileVersion": 3, "packages": {"": {}, "node_modules/a": {"resolved": "` + resolved + `"}}}`
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no dependencies":     {map[string]string{"package.json": `{"type": "module"}`}, ""},
		"locked":              {map[string]string{"package.json": wants, "package-lock.json": lock("https://registry/a.tgz")}, ""},
		"shrinkwrapped":       {map[string]string{"package.json": wants, "npm-shrinkwrap.json": lock("")}, ""},
		"from the pack":       {map[string]string{"package.json": wants, "package-lock.json": lock("file:deps/a.tgz"), "deps/a.tgz": "x"}, ""},
		"not locked":          {map[string]string{"package.json": wants}, "package.json: dependencies need a package-lock.json beside it"},
		"optional":            {map[string]string{"package.json": `{"optionalDependencies": {"a": "1"}}`}, "package.json: dependencies need"},
		"not JSON":            {map[string]string{"package.json": `{`}, "package.json: "},
		"lock is not JSON":    {map[string]string{"package.json": wants, "package-lock.json": `[`}, "package-lock.json: "},
		"old lock":            {map[string]string{"package.json": wants, "package-lock.json": `{"dependencies": {"a": {}}}`}, "package-lock.json: is of a version"},
		"from a repository":   {map[string]string{"package.json": wants, "package-lock.json": lock("git+ssh://git@host/a")}, "package-lock.json: node_modules/a: "},
		"from the outside":    {map[string]string{"package.json": wants, "package-lock.json": lock("file:../a.tgz")}, "package-lock.json: node_modules/a: "},
		"settings of its own": {map[string]string{"package.json": wants, "package-lock.json": lock(""), ".npmrc": "registry=https://evil\n"}, ".npmrc: not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := mistakesOf(t, c.files); got != c.want && (c.want == "" || !strings.HasPrefix(got, c.want)) {
				t.Errorf("%q does not begin with %q", got, c.want)
			}
		})
	}
}

func TestANativeProgramMayBeMadeByTheBuild(t *testing.T) {
	t.Parallel()
	action := "runtime: native\nentry_point: bin/tool\n"
	if got := mistakesOf(t, map[string]string{"actions/a.yaml": action, "Makefile": "build:\n\ttrue\n"}); got != "" {
		t.Error(got)
	}
	for name, files := range map[string]map[string]string{
		"no target":  {"actions/a.yaml": action, "Makefile": "all:\n\ttrue\n"},
		"not native": {"actions/a.yaml": "runtime: shell\nentry_point: bin/tool\n", "Makefile": "build:\n\ttrue\n"},
		"outside":    {"actions/a.yaml": "runtime: native\nentry_point: ../tool\n", "Makefile": "build:\n\ttrue\n"},
	} {
		if got := mistakesOf(t, files); !strings.HasPrefix(got, "actions/a.yaml:2:") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func FuzzRequirementsNeverLeadElsewhere(f *testing.F) {
	f.Add("a==1 \\\n --hash=sha256:00\n-r x.txt # y\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got := mistakesOf(t, map[string]string{"requirements.txt": text}); got == "" && strings.Contains(text, "://") {
			for line := range strings.Lines(text) {
				if before, _, _ := strings.Cut(line, "#"); strings.Contains(before, "://") {
					t.Errorf("%q is let through", text)
				}
			}
		}
	})
}
