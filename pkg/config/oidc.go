package config

import (
	"errors"
	"strings"
)

// GroupRole gives the members of a group of the issuer's a role: in one pack, or everywhere.
type GroupRole struct {
	Group string
	Role  string
	Pack  string // "" for everywhere
}

// OIDCRoles reads GROUP=ROLE and GROUP=ROLE@PACK, divided by commas. What is not one is reported by Check.
func (c Config) OIDCRoles() []GroupRole {
	var all []GroupRole
	for _, text := range c.OIDCRoleTexts {
		if r, ok := groupRole(text); ok {
			all = append(all, r)
		}
	}
	return all
}

func groupRole(text string) (GroupRole, bool) {
	at := strings.LastIndex(text, "=") // a group's name may hold one, as those of directories do
	if at < 1 {
		return GroupRole{}, false
	}
	role, pack, limited := strings.Cut(text[at+1:], "@")
	err := oneOf("", role, "viewer", "operator", "editor", "admin")
	return GroupRole{Group: text[:at], Role: role, Pack: pack}, err == nil && limited == (pack != "") && (role != "admin" || !limited)
}

func (c Config) checkOIDC() error {
	if c.OIDCIssuer == "" {
		return nil
	}
	errs := []error{checkURL("OIDC_ISSUER", c.OIDCIssuer, "https", "http"), checkURL("OIDC_PUBLIC_URL", c.OIDCPublicURL, "https", "http")}
	for name, value := range map[string]string{"OIDC_CLIENT_ID": c.OIDCClientID, "OIDC_PUBLIC_URL": c.OIDCPublicURL} {
		if value == "" {
			errs = append(errs, wrong(name, "", "is needed with OIDC_ISSUER"))
		}
	}
	if len(c.OIDCRoleTexts) == 0 {
		errs = append(errs, wrong("OIDC_ROLES", "", "nobody could sign in: want GROUP=ROLE or GROUP=ROLE@PACK, divided by commas"))
	}
	for _, text := range c.OIDCRoleTexts {
		if _, ok := groupRole(text); !ok {
			errs = append(errs, wrong("OIDC_ROLES", text, "want GROUP=ROLE or GROUP=ROLE@PACK, with a role of viewer, operator, editor and, everywhere only, admin"))
		}
	}
	return errors.Join(errs...)
}
