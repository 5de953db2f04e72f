package config

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
)

// minBuildBytes is what the smallest environment takes.
const minBuildBytes = 1 << 20

func (c Config) checkBuilds() error {
	errs := []error{
		checkURL("PIP_INDEX_URL", c.PipIndexURL, "https", "http"), checkURL("NPM_REGISTRY", c.NPMRegistry, "https", "http"),
	}
	if c.BuildTimeout <= 0 {
		errs = append(errs, wrong("BUILD_TIMEOUT", c.BuildTimeout.String(), "want a time, such as 10m"))
	}
	if c.BuildMaxBytes < minBuildBytes {
		errs = append(errs, wrong("BUILD_MAX_BYTES", strconv.FormatInt(c.BuildMaxBytes, 10), "want at least 1048576"))
	}
	for _, name := range c.BuildEnv {
		if strings.HasPrefix(name, Prefix+"_") || slices.Contains([]string{"HOME", "TMPDIR", "PATH"}, name) || strings.ContainsAny(name, "= ") {
			errs = append(errs, wrong("BUILD_ENV", name, "builds have one of their own, or must not see it"))
		}
	}
	return errors.Join(errs...)
}

// BuildOptions is what the steps of runtimes may ask for by name.
func (c Config) BuildOptions() map[string]string {
	all := map[string]string{"pip_index_url": c.PipIndexURL, "pip_find_links": c.PipFindLinks, "npm_registry": c.NPMRegistry}
	for name, allowed := range map[string]bool{"pip_allow_source": c.PipAllowSource, "npm_allow_scripts": c.NPMAllowScripts} {
		if allowed {
			all[name] = "true"
		}
	}
	return all
}

// BuildEnviron gives the variables of BUILD_ENV with their values; those that are not set are left out.
func (c Config) BuildEnviron() []string {
	var all []string
	for _, name := range c.BuildEnv {
		if value, ok := os.LookupEnv(name); ok {
			all = append(all, name+"="+value)
		}
	}
	return all
}
