package pack

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// requirementsFile names the Python packages that a pack needs.
const requirementsFile = "requirements.txt"

// maxRequirements bounds such a file, in bytes.
const maxRequirements = 1 << 20

// requirements checks files of requirements. They are not trusted to say where packages come from, nor to have
// code run that is not in an index: that is the operator's to say. So lines are taken apart exactly as pip does,
// and only what is known to be harmless is let through.
type requirements struct {
	*loader
	seen map[string]bool
}

func (l *loader) checkRequirements() {
	if _, ok := l.files[requirementsFile]; ok {
		(&requirements{loader: l, seen: map[string]bool{}}).check(requirementsFile)
	}
}

func (r *requirements) check(name string) {
	if r.seen[name] {
		return
	}
	r.seen[name] = true
	if r.files[name].size > maxRequirements {
		r.at(name, 1, "larger than %d bytes", maxRequirements)
		return
	}
	data, err := fs.ReadFile(r.fsys, name)
	if err != nil {
		r.complain(codeUnreadable, name, "%v", err)
		return
	}
	if line, why := unclear(data); why != "" {
		r.at(name, line, "%s", why)
		return
	}
	for _, l := range joined(string(data)) {
		r.line(name, l)
	}
}

func (r *requirements) at(file string, line int, format string, args ...any) {
	r.mistakes = append(r.mistakes, Mistake{Code: codeRequirements, File: file, Line: line, Column: 1, Message: fmt.Sprintf(format, args...)})
}

// coding is a comment by which a file would say that it is in another encoding.
var coding = regexp.MustCompile(`^#.*coding[:=]\s*([-\w.]+)`)

// unclear finds what would have tools read other lines than people see.
func unclear(data []byte) (line int, why string) {
	if !utf8.Valid(data) {
		return 1, "not UTF-8"
	}
	for n, text := range strings.Split(string(data), "\n") {
		if m := coding.FindStringSubmatch(text); m != nil && !strings.EqualFold(m[1], "utf-8") && !strings.EqualFold(m[1], "utf8") {
			return n + 1, fmt.Sprintf("says that it is in %s: write UTF-8", m[1])
		}
		if at := strings.IndexFunc(strings.TrimSuffix(text, "\r"), breaks); at >= 0 {
			return n + 1, fmt.Sprintf("character %q is not allowed", []rune(text[at:])[0])
		}
	}
	return 0, ""
}

// breaks tells whether a character is no text: a control character, or one that some take for a new line.
func breaks(r rune) bool {
	return unicode.IsControl(r) && r != '\t' || r == '\u2028' || r == '\u2029' || r == '\uFEFF'
}

// logical is a line after those that continue it were added to it.
type logical struct {
	number int // of its first line
	text   string
}

var comment = regexp.MustCompile(`(^|\s+)#.*$`)

// joined gives the lines without comments, continued ones as one.
func joined(text string) (lines []logical) {
	var current logical
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if current.text == "" {
			current.number = n + 1
		}
		if strings.HasSuffix(line, `\`) && !startsComment(line) {
			current.text += strings.Trim(line, `\`) + " "
			continue
		}
		if startsComment(line) {
			line = " " + line
		}
		current.text += line
		if current.text = strings.TrimSpace(comment.ReplaceAllString(current.text, "")); current.text != "" {
			lines = append(lines, current)
		}
		current = logical{}
	}
	if current.text != "" {
		lines = append(lines, current)
	}
	return lines
}

func startsComment(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "#") }

// harmless are options that only make an installation stricter, or choose among what an index has.
var harmless = []string{"--require-hashes", "--pre", "--prefer-binary", "--only-binary"}

// requirement is a name, perhaps extras, versions and a condition, and hashes: nothing that leads elsewhere.
var requirement = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[A-Za-z0-9._,\s-]*\])?\s*` +
	`(\(?\s*((===|==|!=|<=|>=|~=|<|>)\s*[A-Za-z0-9.*+!_-]+\s*,?\s*)+\)?)?\s*` +
	`(;[^#@/\\$]*?)?(\s+--hash[= ][a-z0-9]+:[0-9a-f]+)*$`)

func (r *requirements) line(file string, l logical) {
	if !strings.HasPrefix(l.text, "-") {
		if !requirement.MatchString(l.text) {
			r.at(file, l.number, "%q is not a package's name with versions, such as requests>=2, <3 "+
				"(addresses, paths and repositories are not allowed: the operator says where packages come from)", brieflyQuoted(l.text))
		}
		return
	}
	option, value, _ := strings.Cut(strings.Replace(l.text, " ", "=", 1), "=")
	for _, short := range []string{"-r", "-c"} {
		if len(l.text) > 2 && strings.HasPrefix(l.text, short) {
			option, value = short, strings.TrimLeft(l.text[2:], "= ")
		}
	}
	switch {
	case slices.Contains([]string{"-r", "--requirement", "-c", "--constraint"}, option):
		r.include(file, l.number, option, strings.TrimSpace(value))
	case !slices.Contains(harmless, option):
		r.at(file, l.number, "option %s is not allowed: the operator says where packages come from and how they are installed", brieflyQuoted(option))
	}
}

// include checks another file that a file of requirements names, which must be in the pack.
func (r *requirements) include(file string, line int, option, name string) {
	target := path.Join(path.Dir(file), name)
	if _, ok := r.files[target]; !ok || path.IsAbs(name) || strings.ContainsAny(name, `\:'"$ `) {
		r.at(file, line, "%s %q is not a file of the pack", option, brieflyQuoted(name))
		return
	}
	r.check(target)
}

func brieflyQuoted(text string) string {
	if len(text) > 100 {
		return strings.ToValidUTF8(text[:100], "") + "..."
	}
	return text
}
