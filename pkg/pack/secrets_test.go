package pack

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"
)

const secretive = `runtime: shell
entry_point: code/run.sh
parameters:
  type: object
  properties:
    user: {type: string}
    password: {type: string, secret: true}
    login: {type: object, properties: {token: {type: string, secret: true}}}
`

func rule(parameters string) string {
	return "trigger: down\naction: shell\nparameters:\n" + parameters
}

func TestSecretsAreNotInTheFilesOfAPack(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		files map[string]string
		want  string // nothing: it is whole
	}{
		"a rule that refers to secrets": {map[string]string{"rules/r.yaml": rule("  user: x\n  password: ${{ secrets.DB }}\n  login: {token: 'Bearer ${{ secrets[\"a-b\"] }}'}\n")}, ""},
		"a value in a rule": {
			map[string]string{"rules/r.yaml": rule("  user: x\n  password: hunter2\n")},
			"rules/r.yaml:5:13: parameters.password: is secret, and everybody can read what stands here; store it with attune secret set, and write ${{ secrets.NAME }}",
		},
		"a value deep in a rule":             {map[string]string{"rules/r.yaml": rule("  login: {token: x}\n")}, "rules/r.yaml:4:18: parameters.login.token: is secret"},
		"a secret of the event":              {map[string]string{"rules/r.yaml": rule("  password: ${{ event.payload.password }}\n")}, "rules/r.yaml:4:13: parameters.password: is secret"},
		"a secret that is looked at":         {map[string]string{"rules/r.yaml": rule("  user: ${{ secrets.DB + 'x' }}\n")}, "rules/r.yaml:4:13: parameters.user: a secret can only be passed on as it is"},
		"a secret in criteria":               {map[string]string{"rules/r.yaml": rule("  user: x\n") + "when: event.id == secrets.DB\n"}, "rules/r.yaml:5:19: when: a secret can only be passed on as it is"},
		"a secret in a key":                  {map[string]string{"rules/r.yaml": rule("  user: x\n") + "once_per: {key: secrets.DB, window: 10s}\n"}, "rules/r.yaml:5:17: once_per.key: a secret can only be passed on as it is"},
		"a secret of a user":                 {map[string]string{"rules/r.yaml": rule("  user: ${{ secrets['user/DB'] }}\n")}, "rules/r.yaml:4:12: parameters.user: \"user/DB\": a rule has no user"},
		"a reference that the rule makes":    {map[string]string{"rules/r.yaml": rule("  user: {$secret: DB}\n")}, "rules/r.yaml:4:3: parameters.user: looks like a reference to a secret"},
		"a default":                          {map[string]string{"actions/shell.yml": strings.Replace(secretive, "secret: true", "secret: true, default: hunter2", 1)}, "actions/shell.yml:3:1: parameters: a value that is secret has a default"},
		"a default of the configuration":     {map[string]string{"pack.yaml": "name: web\nversion: 1.0.0\nconfig: {properties: {t: {secret: true, default: x}}}\n"}, "pack.yaml:3:1: config: a value that is secret has a default"},
		"secret that is no yes or no":        {map[string]string{"actions/shell.yml": strings.Replace(secretive, "secret: true", "secret: 1", 1)}, "actions/shell.yml:3:1: parameters: compile schema"},
		"a concurrency key":                  {map[string]string{"actions/shell.yml": secretive + "concurrency: {limit: 1, key: params.login.token}\n"}, "actions/shell.yml:9:30: concurrency.key: looks at a parameter that is secret"},
		"a concurrency key of all":           {map[string]string{"actions/shell.yml": secretive + "concurrency: {limit: 1, key: string(size(params))}\n"}, "concurrency.key: looks at a parameter that is secret"},
		"a concurrency key beside it":        {map[string]string{"actions/shell.yml": secretive + "concurrency: {limit: 1, key: params.user}\n"}, ""},
		"a secret of the user":               {map[string]string{"actions/shell.yml": secretive + "variables: true\nsecrets: [user/SSH_KEY, TOKEN]\n"}, ""},
		"two secrets of one name":            {map[string]string{"actions/shell.yml": secretive + "secrets: [user/TOKEN, TOKEN]\n"}, "actions/shell.yml:9:23: secrets: the program would get two under the name TOKEN"},
		"a sensor that refers to a secret":   {map[string]string{"sensors/probe.yaml": "runtime: shell\nentry_point: code/run.sh\ntriggers: [down]\nconfig: {a: {$secret: DB}}\n"}, ""},
		"a sensor that refers to a user's":   {map[string]string{"sensors/probe.yaml": "runtime: shell\nentry_point: code/run.sh\ntriggers: [down]\nconfig: {a: {$secret: user/DB}}\n"}, "sensors/probe.yaml:4:10: config: user/DB: only secrets of the pack and global ones"},
		"a sensor with what is no reference": {map[string]string{"sensors/probe.yaml": "runtime: shell\nentry_point: code/run.sh\ntriggers: [down]\nconfig: {a: {$secret: DB, b: 1}}\n"}, "sensors/probe.yaml:4:10: config: a: a reference to a secret has no other keys"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := with(map[string]string{"actions/shell.yml": secretive, "pack.yaml": "name: web\nversion: 1.0.0\n"})
			maps.Copy(files, c.files)
			got := mistakes(t, files)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Contains(got, "hunter2") {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAParameterThatIsMarkedSecretDoesNotLookLikeAMistake(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{secretive: false, strings.Replace(secretive, ", secret: true", "", 1): true} {
		fsys := fstest.MapFS{}
		for name, content := range with(map[string]string{"actions/shell.yml": text}) {
			fsys[strings.TrimSuffix(name, "*")] = &fstest.MapFile{Data: []byte(content), Mode: 0o755}
		}
		_, found := Check(fsys, CheckOptions{})
		has := strings.Contains(found.Error(), "parameters.password: looks like a secret")
		if has != want {
			t.Errorf("warned is %v, want %v: %v", has, want, found)
		}
	}
}
