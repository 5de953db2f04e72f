package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// carve lists what covers a folder but for what is hidden: the folder itself where nothing below it is, else what is
// in it, taken apart likewise. Landlock has no exceptions; what is not listed is out of reach.
func carve(dir string, hidden []string) []string {
	switch {
	case slices.Contains(hidden, dir):
		return nil
	case !slices.ContainsFunc(hidden, func(h string) bool { return within(h, dir) }):
		return []string{dir}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // what cannot be listed is not given
	}
	var all []string
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink == 0 { // to follow one takes no right, and its target is judged by itself
			all = append(all, carve(filepath.Join(dir, e.Name()), hidden)...)
		}
	}
	return all
}

// within tells whether a path is a folder or below it. Both are clean and absolute.
func within(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// resolve gives the paths that the kernel sees: absolute, without symbolic links. Of what does not exist the part that
// does is resolved, so that it is hidden when it comes to be.
func resolve(paths []string) (real []string, err error) {
	var errs []error
	for _, p := range paths {
		if p == "" {
			continue
		}
		r, err := resolveOne(p)
		errs = append(errs, err)
		if err == nil && !slices.Contains(real, r) {
			real = append(real, r)
		}
	}
	return real, errors.Join(errs...)
}

func resolveOne(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || path == "/" {
			return "", err
		}
		path, rest = filepath.Dir(path), filepath.Join(filepath.Base(path), rest)
	}
}
