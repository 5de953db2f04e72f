package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/attune/attune/pkg/config"
)

func TestGroupsOfTheIssuerHaveRoles(t *testing.T) {
	t.Setenv("ATTUNE_OIDC_ISSUER", "https://id.example")
	t.Setenv("ATTUNE_OIDC_CLIENT_ID", "attune")
	t.Setenv("ATTUNE_OIDC_PUBLIC_URL", "https://attune.example")
	t.Setenv("ATTUNE_OIDC_ROLES", "ops=operator,shop devs=editor@shop,cn=admins=admin")
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	want := []config.GroupRole{{Group: "ops", Role: "operator"}, {Group: "shop devs", Role: "editor", Pack: "shop"}, {Group: "cn=admins", Role: "admin"}}
	if got := c.OIDCRoles(); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestMistakesAboutTheIssuerAreReported(t *testing.T) {
	t.Setenv("ATTUNE_OIDC_ISSUER", "ldap://id.example")
	t.Setenv("ATTUNE_OIDC_ROLES", "ops,a=root,b=admin@demo,c=viewer@,=viewer")
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	text := c.Check().Error()
	for _, want := range []string{"OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_PUBLIC_URL", `"ops"`, `"a=root"`, `"b=admin@demo"`, `"c=viewer@"`, `"=viewer"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not named in: %s", want, text)
		}
	}
}
