package pack

import (
	"encoding/json"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Files about a pack's Node packages.
const (
	packageFile = "package.json"
	lockFile    = "package-lock.json"
	shrinkwrap  = "npm-shrinkwrap.json"
)

// maxPackages bounds such a file, in bytes.
const maxPackages = 16 << 20

// checkNodePackages checks that what npm installs is locked, and comes from registries or from the pack.
func (l *loader) checkNodePackages() {
	if _, ok := l.files[".npmrc"]; ok {
		l.complain(codePackages, ".npmrc", "not allowed: the operator says where packages come from and how they are installed")
	}
	var wanted struct {
		Dependencies         map[string]any `json:"dependencies"`
		OptionalDependencies map[string]any `json:"optionalDependencies"`
	}
	if !l.readJSON(packageFile, &wanted) {
		return
	}
	locked := false
	for _, name := range []string{lockFile, shrinkwrap} {
		_, ok := l.files[name]
		locked = locked || ok
		l.checkLock(name)
	}
	if !locked && len(wanted.Dependencies)+len(wanted.OptionalDependencies) > 0 {
		l.complain(codePackages, packageFile, "dependencies need a %s beside it: make one with npm install --package-lock-only", lockFile)
	}
}

// readJSON reads a file of the pack, if it has it.
func (l *loader) readJSON(name string, v any) bool {
	f, ok := l.files[name]
	if !ok {
		return false
	}
	if f.size > maxPackages {
		l.complain(codeTooLarge, name, "larger than %d bytes", maxPackages)
		return false
	}
	data, err := fs.ReadFile(l.fsys, name)
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		l.complain(codeUnreadable, name, "%v", err)
		return false
	}
	return true
}

func (l *loader) checkLock(name string) {
	var lock struct {
		Packages map[string]struct {
			Resolved string `json:"resolved"`
			Link     bool   `json:"link"`
		} `json:"packages"`
		Dependencies map[string]any `json:"dependencies"`
	}
	if !l.readJSON(name, &lock) {
		return
	}
	if lock.Packages == nil && lock.Dependencies != nil {
		l.complain(codePackages, name, "is of a version that npm before 7 wrote: make it again with npm install --package-lock-only")
	}
	for _, at := range slices.Sorted(maps.Keys(lock.Packages)) {
		if from := lock.Packages[at].Resolved; !l.mayResolve(from) {
			l.complain(codePackages, name, "%s: %q is neither an https address of a registry nor a file of the pack", at, brieflyQuoted(from))
		}
	}
}

// mayResolve tells whether npm may take a package from there.
func (l *loader) mayResolve(from string) bool {
	if local, ok := strings.CutPrefix(from, "file:"); ok {
		_, there := l.files[path.Clean(local)]
		return there
	}
	if from == "" || !strings.Contains(from, ":") {
		return fs.ValidPath(path.Clean("./" + from))
	}
	return strings.HasPrefix(from, "https://") || strings.HasPrefix(from, "http://")
}
