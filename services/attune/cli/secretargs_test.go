package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const guarded = `{"properties":{"user":{"type":"string"},"password":{"type":"string","secret":true},"pin":{"type":"integer","secret":true}},"required":["password"]}`

func TestSecretsComeFromElsewhereThanTheCommandLine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"from stdin":                    {[]string{"user=me", "password=-"}, `{"password":"from stdin","user":"me"}`},
		"from a file":                   {[]string{"password=@" + file}, `{"password":"from a file"}`},
		"a stored secret":               {[]string{"password=@secret:DB", "user=@secret:user/NAME"}, `{"password":{"$secret":"DB"},"user":{"$secret":"user/NAME"}}`},
		"only where values are secret":  {[]string{"user=-", "password:=\"@x\""}, `{"password":"@x","user":"-"}`},
		"a file's name that is a value": {[]string{"user=@" + file, "password=x"}, `{"password":"x","user":"@` + file + `"}`},
	} {
		var errs bytes.Buffer
		s := &session{in: strings.NewReader("from stdin\n"), errw: &errs}
		got, err := s.typed(nil, c.args, json.RawMessage(guarded))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		if warned := strings.Contains(errs.String(), "parameter password is secret"); warned != strings.Contains(strings.Join(c.args, " "), "password=x") && !strings.Contains(name, "only") {
			t.Errorf("%s: said %q", name, errs.String())
		}
	}
}

func TestWhatCannotBeReadIsSaidWithoutTheValue(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"stdin is no terminal":    {"password=@prompt"},
		"no such file":            {"password=@/no/such/file"},
		"only one value":          {"password=-", "pin=-"},
		"want a whole number":     {"pin=-"},
		"password is given twice": {"password=-", "password=x"},
		"is over":                 {"password=@/dev/zero"},
	} {
		s := &session{in: strings.NewReader("hunter2"), errw: &bytes.Buffer{}}
		_, err := s.typed(nil, args, json.RawMessage(guarded))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}
