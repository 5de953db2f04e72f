package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/config"
)

func TestWhatBuildsSeeIsNamedByTheOperator(t *testing.T) {
	t.Setenv("ATTUNE_BUILD_ENV", "HTTPS_PROXY,NOT_SET")
	t.Setenv("ATTUNE_PIP_INDEX_URL", "https://me:hidden@index/simple")
	t.Setenv("ATTUNE_NPM_ALLOW_SCRIPTS", "true")
	t.Setenv("HTTPS_PROXY", "http://proxy")
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if got := c.BuildEnviron(); !slices.Equal(got, []string{"HTTPS_PROXY=http://proxy"}) {
		t.Errorf("environment: %v", got)
	}
	o := c.BuildOptions()
	if o["pip_index_url"] != "https://me:hidden@index/simple" || o["npm_allow_scripts"] != "true" || o["pip_allow_source"] != "" {
		t.Errorf("options: %v", o)
	}
}

func TestMistakesAboutBuildsAreReported(t *testing.T) {
	t.Setenv("ATTUNE_BUILD_ENV", "ATTUNE_TOKEN,HOME")
	t.Setenv("ATTUNE_PIP_INDEX_URL", "ftp://me:hidden@index")
	t.Setenv("ATTUNE_BUILD_TIMEOUT", "-1s")
	t.Setenv("ATTUNE_BUILD_MAX_BYTES", "7")
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	text := c.Check().Error()
	for _, want := range []string{"BUILD_ENV=\"ATTUNE_TOKEN\"", "BUILD_ENV=\"HOME\"", "PIP_INDEX_URL", "BUILD_TIMEOUT", "BUILD_MAX_BYTES"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not named in: %s", want, text)
		}
	}
	if strings.Contains(text, "hidden") {
		t.Errorf("the password is shown: %s", text)
	}
}
