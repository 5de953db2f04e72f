package pack

import (
	"bytes"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// entryPoint looks at the first line of what is started.
func (w *linter) entryPoint(d *document) {
	text, ok := d.text("entry_point")
	name, _, _ := strings.Cut(text, ":")
	if _, there := w.files[name]; !ok || !there {
		return
	}
	head := w.head(name)
	runtime, _ := d.text("runtime")
	first, _, _ := bytes.Cut(head, []byte("\n"))
	script := bytes.HasPrefix(first, []byte("#!"))
	switch {
	case script && bytes.HasSuffix(first, []byte("\r")):
		w.remark(codeCRLF, name, 1, len(first), "the first line ends with a carriage return, which becomes part of the interpreter's name")
	case script && !path.IsAbs(strings.TrimSpace(string(first[2:]))):
		w.remark(codeShebang, name, 1, 3, "the interpreter of the first line is not an absolute path")
	case runtime == "native" && !script && !isProgram(head):
		w.remark(codeShebang, name, 1, 1, "neither a program nor a script with #! in the first line: it cannot be started")
	case runtime == "shell" && bytes.Contains(head, []byte("\r\n")):
		w.remark(codeCRLF, name, 1, 1, "the lines end with carriage returns, which shells take for part of the commands")
	}
}

// maxHead bounds what is looked at of a file's beginning.
const maxHead = 64 << 10

// head gives the beginning of a file; what cannot be read is reported by others.
func (w *linter) head(name string) []byte {
	in, err := w.fsys.Open(name)
	if err != nil {
		return nil
	}
	defer in.Close()
	head := make([]byte, min(w.files[name].size, maxHead))
	n, err := readFull(in, head)
	if err != nil {
		return nil
	}
	return head[:n]
}

func readFull(in fs.File, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var more int
		more, err = in.Read(b[n:])
		n += more
	}
	if n == len(b) {
		err = nil
	}
	return n, err
}

// isProgram tells programs of Linux, macOS and Windows by their first bytes.
func isProgram(head []byte) bool {
	for _, magic := range []string{"\x7fELF", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe", "MZ"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

var (
	pinned      = regexp.MustCompile(`===?\s*[0-9]|@\s`)
	packageLine = regexp.MustCompile(`^[A-Za-z0-9]`)
)

// packages looks at how exactly a pack says which Python packages it needs. Those of Node.js must be locked.
func (w *linter) packages() {
	if _, ok := w.files[requirementsFile]; !ok {
		return
	}
	hashes := true
	text := strings.ReplaceAll(string(w.head(requirementsFile)), "\\\n", "  ") // the numbers of lines stay those of their ends
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, " #")
		if !packageLine.MatchString(line) {
			continue
		}
		hashes = hashes && strings.Contains(line, "--hash=")
		if !pinned.MatchString(line) {
			w.remark(codeUnpinned, requirementsFile, i+1, 1, "%.60s: no exact version: what is installed depends on the day", strings.TrimSpace(line))
		}
	}
	if !hashes {
		w.remark(codeNoHashes, requirementsFile, 1, 1, "not every requirement has a hash: whoever serves the package decides what it is")
	}
}

// secrets are what keys of well-known services look like.
var secrets = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|` +
	`\bgithub_pat_[A-Za-z0-9_]{60,}|\bglpat-[A-Za-z0-9_-]{20}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\b[sr]k_live_[A-Za-z0-9]{20,}|` +
	`\bAIza[A-Za-z0-9_-]{35}|attune-index-private-key-[A-Za-z0-9_-]{20,}`)

// contents looks for secrets in every file, and for files that should not be there.
func (w *linter) contents() {
	for name := range w.files {
		head := w.head(name)
		if base := path.Base(name); base == ".env" || base == "id_rsa" || base == "id_ed25519" {
			w.remark(codeSecret, name, 0, 0, "a file of this name usually holds secrets")
		}
		if bytes.IndexByte(head, 0) >= 0 {
			continue // no text
		}
		if at := secrets.FindIndex(head); at != nil {
			before := head[:at[0]]
			line := 1 + bytes.Count(before, []byte("\n"))
			w.remark(codeSecret, name, line, len(before)-bytes.LastIndexByte(before, '\n'), "looks like a key or token: whoever has the pack has it too")
		}
	}
}
