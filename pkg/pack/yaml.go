package pack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/attune/attune/pkg/strictjson"
)

const (
	maxYAML      = 128 << 10 // bytes of one file
	maxYAMLDepth = 64
)

// document is a YAML file as plain values, and where each of them stands.
type document struct {
	file   string
	lines  []string
	value  any
	places map[string]place // by pointer
	broken map[string]bool  // pointers of values that were complained about
	loader *loader
}

// place is where a value stands in its file.
type place struct {
	value *yaml.Node
	key   *yaml.Node // of the mapping entry that holds it, or nil
}

// lineBreak is what YAML counts as the end of a line.
var lineBreak = regexp.MustCompile("\r\n|[\n\r\u0085\u2028\u2029]")

// pointer names a value within a document: the steps to it, joined by a character that no YAML text may hold.
func pointer(path []string) string { return strings.Join(path, "\x00") }

// complain adds a mistake at a line and column of the document.
func (d *document) complain(code Code, line, column int, format string, args ...any) {
	d.loader.mistakes = append(d.loader.mistakes, Mistake{
		Code: code, File: d.file, Line: max(min(line, len(d.lines)), 1), Column: max(column, 1), Message: fmt.Sprintf(format, args...),
	})
}

func (d *document) complainAt(code Code, n *yaml.Node, format string, args ...any) {
	d.complain(code, n.Line, n.Column, format, args...)
}

// at complains about the value with that path, or about what should hold it when it is missing.
func (d *document) at(code Code, path []string, format string, args ...any) {
	for rest := path; ; rest = rest[:len(rest)-1] {
		if p, ok := d.places[pointer(rest)]; ok {
			n := p.value
			if len(rest) > 0 && p.key != nil && n.Kind != yaml.ScalarNode {
				n = p.key
			}
			d.complainAt(code, n, format, args...)
			return
		}
		if len(rest) == 0 {
			d.complain(code, 1, 1, format, args...)
			return
		}
	}
}

// parse reads a YAML file. It gives nil when there is nothing to look at after the mistakes it reported.
func (l *loader) parse(file string, data []byte) *document {
	d := &document{file: file, loader: l, places: map[string]place{}, broken: map[string]bool{}}
	d.lines = lineBreak.Split(string(data), -1)
	if !d.readable(data) {
		return nil
	}
	root := d.load(data)
	if root == nil {
		return nil
	}
	d.value = d.convert(root, nil, nil)
	object, ok := d.value.(map[string]any)
	if !ok {
		d.complainAt(codeNoMapping, root, "must be a mapping of keys and values, not %s", strictjson.Kind(d.value))
		return nil
	}
	maps.DeleteFunc(object, func(_ string, v any) bool { return v == nil }) // "key:" with nothing after it
	return d
}

// readable checks what the YAML library would report without a place, or take too long over.
func (d *document) readable(data []byte) bool {
	if len(data) > maxYAML {
		d.complain(codeTooLarge, 1, 1, "larger than %d bytes", maxYAML)
		return false
	}
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			d.complain(codeCharacters, line, column, "not UTF-8")
			return false
		case r < ' ' && r != '\n' && r != '\t' && r != '\r', r == 0x7f:
			d.complain(codeCharacters, line, column, "control character %U", r)
			return false
		}
		i += n
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return true
}

// load gives the top node of the only document in data.
func (d *document) load(data []byte) *yaml.Node {
	var first, second yaml.Node
	limits := yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxYAMLDepth)))
	in, err := yaml.NewLoader(bytes.NewReader(data), limits)
	if err == nil {
		err = in.Load(&first)
	}
	switch {
	case errors.Is(err, io.EOF) || err == nil && len(first.Content) == 0:
		d.complain(codeNoMapping, 1, 1, "empty")
		return nil
	case err != nil:
		d.syntax(err)
		return nil
	}
	if err := in.Load(&second); err == nil {
		d.complainAt(codeNoMapping, &second, "a second document: only one is allowed")
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
		return nil
	}
	return first.Content[0]
}

func (d *document) syntax(err error) {
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		d.complain(codeSyntax, 1, 1, "not YAML: %v", err)
		return
	}
	mark := e.Mark
	atEnd := mark.Line > len(d.lines) || strings.Contains(e.Message, "end of stream")
	if mark.Line == 0 || atEnd && e.ContextMark.Line > 0 {
		mark = e.ContextMark
	}
	message := e.Message
	if e.ContextMsg != "" {
		message += " " + e.ContextMsg
	}
	d.complain(codeSyntax, mark.Line, mark.Column, "not YAML: %s", message)
}

// convert makes plain values of a node, complaining about all that has more than one reading.
func (d *document) convert(n, key *yaml.Node, path []string) any {
	d.places[pointer(path)] = place{value: n, key: key}
	switch {
	case n.Kind == yaml.AliasNode:
		return d.refuse(codeAnchors, n, path, "aliases are not allowed")
	case n.Anchor != "":
		return d.refuse(codeAnchors, n, path, "anchors are not allowed")
	case n.Style&yaml.TaggedStyle != 0:
		return d.refuse(codeAnchors, n, path, "tags are not allowed")
	}
	switch n.Kind {
	case yaml.MappingNode:
		return d.mapping(n, path)
	case yaml.SequenceNode:
		return d.sequence(n, path)
	default:
		return d.scalar(n, path)
	}
}

// refuse complains and gives null in place of the value.
func (d *document) refuse(code Code, n *yaml.Node, path []string, format string, args ...any) any {
	d.broken[pointer(path)] = true
	d.complainAt(code, n, format, args...)
	return nil
}

func (d *document) mapping(n *yaml.Node, path []string) any {
	m := map[string]any{}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag != "!!str":
			d.complainAt(codeKey, key, "a key must be text (write it in quotes)")
			continue
		case key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 || strings.ContainsRune(key.Value, 0):
			d.complainAt(codeAnchors, key, "anchors, tags and NUL are not allowed")
			continue
		case lines[key.Value] != 0:
			d.complainAt(codeKey, key, "key %q is there twice, first on line %d", key.Value, lines[key.Value])
			continue
		}
		lines[key.Value] = key.Line
		m[key.Value] = d.convert(value, key, append(slices.Clip(path), key.Value))
	}
	return m
}

func (d *document) sequence(n *yaml.Node, path []string) any {
	list := make([]any, len(n.Content))
	for i, elem := range n.Content {
		list[i] = d.convert(elem, nil, append(slices.Clip(path), strconv.Itoa(i)))
	}
	return list
}

func (d *document) scalar(n *yaml.Node, path []string) any {
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
	case "!!int", "!!float":
		return d.number(n, path)
	}
	if strings.ContainsRune(n.Value, 0) {
		return d.refuse(codeCharacters, n, path, "NUL is not allowed in a text")
	}
	return n.Value
}

// clearInteger is an integer in another base that nobody reads as anything else.
var clearInteger = regexp.MustCompile(`^0(x[0-9a-fA-F]+|o[0-7]+)$`)

func (d *document) number(n *yaml.Node, path []string) any {
	if v, err := strictjson.Parse([]byte(n.Value)); err == nil {
		return v
	}
	if clearInteger.MatchString(n.Value) {
		if i, ok := new(big.Int).SetString(n.Value, 0); ok {
			return json.Number(i.String())
		}
	}
	return d.refuse(codeReadings, n, path, "%s has more than one reading: write it in quotes for text, or as a plain number", n.Value)
}
