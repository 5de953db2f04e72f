package pack

import (
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// TestFolder is where a pack's tests are.
const TestFolder = "tests"

// TestFile is a file of tests.
type TestFile struct {
	File        string     `json:"-"`
	Description string     `json:"description,omitempty"`
	Cases       []TestCase `json:"cases"`
}

// TestCase runs an action, or shows an event to the rules of its pack.
type TestCase struct {
	Name       string            `json:"name"`
	Line       int               `json:"-"`
	Action     string            `json:"action,omitempty"`
	Parameters map[string]any    `json:"parameters,omitempty"`
	Secrets    map[string]string `json:"secrets,omitempty"`
	Config     map[string]any    `json:"config,omitempty"`
	Files      map[string]string `json:"files,omitempty"` // in the working folder
	Timeout    Duration          `json:"timeout,omitempty"`
	Event      *TestEvent        `json:"event,omitempty"`
	Expect     TestExpect        `json:"expect,omitzero"`
}

// TestEvent is an event that rules decide about.
type TestEvent struct {
	Trigger string `json:"trigger"`
	Payload any    `json:"payload,omitempty"`
	Source  string `json:"source,omitempty"`
}

// TestExpect is what must come of a case.
type TestExpect struct {
	Status         string                    `json:"status,omitempty"` // of streams.Status, or TestRefused; "" means succeeded
	Error          string                    `json:"error,omitempty"`
	ExitCode       *int                      `json:"exit_code,omitempty"`
	Result         any                       `json:"result,omitempty"`
	ResultIncludes any                       `json:"result_includes,omitempty"`
	Stdout         TestText                  `json:"stdout,omitzero"`
	Stderr         TestText                  `json:"stderr,omitzero"`
	Rules          map[string]map[string]any `json:"rules,omitempty"` // nil parameters: whatever they are
	Errors         []string                  `json:"errors,omitempty"`
}

// TestRefused is the status of an action whose parameters do not fit.
const TestRefused = "refused"

// TestText is what a text must be like.
type TestText struct {
	Contains []string `json:"contains,omitempty"`
	Matches  string   `json:"matches,omitempty"`
}

// LoadTests reads the tests of the pack in a folder. An error about their content is of type Mistakes.
func LoadTests(fsys fs.FS) ([]TestFile, error) {
	l := newLoader(fsys)
	l.read()
	files := l.loadTests()
	l.mistakes = l.inTests()
	if err := l.mistakes.err(); err != nil {
		return nil, err
	}
	return files, nil
}

// inTests gives the mistakes in files of tests: of the others, others tell.
func (l *loader) inTests() (ms Mistakes) {
	for _, m := range l.mistakes {
		if path.Dir(m.File) == TestFolder {
			ms = append(ms, m)
		}
	}
	return ms
}

func (l *loader) loadTests() (files []TestFile) {
	for _, name := range l.yamlFiles(TestFolder) {
		if d := l.readFile(name); d != nil {
			files = append(files, l.loadTest(d))
		}
	}
	return files
}

func (l *loader) loadTest(d *document) TestFile {
	f := TestFile{File: d.file}
	before := l.mistakes
	l.mistakes = nil // what else is wrong with the pack does not keep tests from being read
	cases, _ := d.get("cases").([]any)
	for i := range cases {
		d.checkCase([]string{"cases", strconv.Itoa(i)}, cases[i])
	}
	d.fits(kindTest, &f)
	l.mistakes = append(before, l.mistakes...)
	for i := range f.Cases {
		if p, ok := d.places[pointer([]string{"cases", strconv.Itoa(i)})]; ok {
			f.Cases[i].Line = p.value.Line
		}
	}
	return f
}

func (d *document) checkCase(at []string, v any) {
	c, _ := v.(map[string]any)
	below := func(steps ...string) []string { return append(append([]string{}, at...), steps...) }
	action, isAction := c["action"].(string)
	_, isEvent := c["event"]
	switch {
	case c == nil:
		return
	case isAction == isEvent:
		d.at(codeCase, at, "a case has either an action or an event")
	case isAction && d.loader.names[kindAction][action] == nil:
		d.at(codeReference, below("action"), "action: this pack has no action %q", action)
	}
	if text, ok := c["timeout"].(string); ok {
		if v, err := time.ParseDuration(text); err != nil || v < time.Millisecond || v > time.Hour {
			d.at(codeDuration, below("timeout"), "timeout: %q is not a duration between 1ms and 1h", text)
		}
	}
	files, _ := c["files"].(map[string]any)
	for name := range files {
		if !filepath.IsLocal(name) || checkName(name) != nil {
			d.at(codeCase, below("files", name), "files: %q is not a path within the working folder", name)
		}
	}
	expect, _ := c["expect"].(map[string]any)
	d.checkExpect(below("expect"), expect, isEvent)
}

// checkExpect checks that what is expected can be expected of an action, or of an event.
func (d *document) checkExpect(at []string, expect map[string]any, ofEvent bool) {
	for _, key := range []string{"status", "error", "exit_code", "result", "result_includes", "stdout", "stderr", "rules", "errors"} {
		_, given := expect[key]
		if about := key == "rules" || key == "errors"; given && about != ofEvent {
			what := map[bool]string{true: "an event", false: "an action"}[ofEvent]
			d.at(codeCase, append(append([]string{}, at...), key), "expect.%s: cannot be expected of %s", key, what)
		}
	}
	for _, stream := range []string{"stdout", "stderr"} {
		text, _ := expect[stream].(map[string]any)
		pattern, ok := text["matches"].(string)
		if _, err := regexp.Compile(pattern); ok && err != nil {
			d.at(codeCase, append(append([]string{}, at...), stream, "matches"), "expect.%s.matches: %s", stream, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
	}
	rules, _ := expect["rules"].(map[string]any)
	for name := range rules {
		if _, ok := d.loader.names[kindRule][name]; !ok {
			d.at(codeReference, append(append([]string{}, at...), "rules", name), "expect.rules: this pack has no rule %q", name)
		}
	}
}
