package expression

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/attune/attune/pkg/marker"
)

// Template is a value in which texts may hold "${{ CEL }}". It is safe for concurrent use.
type Template struct {
	root node
}

// node is a template's value: itself, or what renders it.
type node interface {
	render(r *renderer) (any, error)
}

type (
	fixed  struct{ value any }      // a value without expressions
	object map[string]node          // some value of it has one
	list   []node                   // some element of it has one
	single struct{ program }        // "${{ x }}": keeps its type
	joined []interface{ isPiece() } // "a ${{ x }} b": becomes text
	words  string
	inline struct{ program }
)

func (words) isPiece()  {}
func (inline) isPiece() {}

// NewTemplate compiles the expressions in a value that is made of maps, lists and scalars.
// Its error is of type Mistakes and holds all of them.
func NewTemplate(value any) (*Template, error) {
	c := &compiler{}
	root := c.node(value)
	if len(c.mistakes) > 0 {
		return nil, c.mistakes
	}
	return &Template{root: root}, nil
}

// Render gives the value with every expression replaced by its result, and by a marker where it refers to a secret.
// vars holds the variable event. Data of the event that looks like a marker is an error.
func (t *Template) Render(ctx context.Context, vars map[string]any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return t.root.render(&renderer{ctx: ctx, event: vars[variableEvent]})
}

// compiler walks a value and gathers mistakes.
type compiler struct {
	path     []string
	mistakes Mistakes
}

func (c *compiler) node(v any) node {
	switch v := v.(type) {
	case string:
		return c.text(v)
	case map[string]any:
		return c.object(v)
	case []any:
		return c.list(v)
	default:
		return fixed{v}
	}
}

func (c *compiler) below(step string, v any) node {
	c.path = append(c.path, step)
	n := c.node(v)
	c.path = c.path[:len(c.path)-1]
	return n
}

func (c *compiler) object(m map[string]any) node {
	if marker.Reserved(m) {
		c.mistakes = append(c.mistakes, Mistake{Path: strings.Join(c.path, "."), Line: 1, Column: 1, Message: literalMarker})
	}
	o, plain := object{}, true
	for _, key := range slices.Sorted(maps.Keys(m)) {
		o[key] = c.below(key, m[key])
		_, isFixed := o[key].(fixed)
		plain = plain && isFixed
	}
	if plain {
		return fixed{m}
	}
	return o
}

func (c *compiler) list(elems []any) node {
	l, plain := list{}, true
	for i, elem := range elems {
		n := c.below(strconv.Itoa(i), elem)
		_, isFixed := n.(fixed)
		l, plain = append(l, n), plain && isFixed
	}
	if plain {
		return fixed{elems}
	}
	return l
}

func (c *compiler) text(s string) node {
	pieces, at, ok := cut(s)
	switch {
	case !ok:
		c.complain(s, at, Mistakes{{Line: 1, Column: 1, Message: "${{ without its closing }}"}})
		return fixed{s}
	case !slices.ContainsFunc(pieces, func(p piece) bool { return p.expression }):
		return fixed{s}
	}
	made := make([]interface{ isPiece() }, len(pieces))
	for i, p := range pieces {
		made[i] = c.piece(s, p)
	}
	return assemble(made)
}

func (c *compiler) piece(s string, p piece) interface{ isPiece() } {
	if !p.expression {
		return words(p.text)
	}
	ref, is, err := secretOf(p.text)
	if is && err == nil {
		return secret{ref}
	}
	var compiled program
	if err == nil {
		compiled, err = compileProgram(variableEvent, p.text)
	}
	if err != nil {
		c.complain(s, p.at, err)
	}
	return inline{compiled}
}

// complain places mistakes of an expression that starts at the given byte of s.
func (c *compiler) complain(s string, at int, err error) {
	ms, ok := err.(Mistakes) //nolint:errorlint // compile returns it unwrapped, or something that is not the author's fault
	if !ok {
		ms = Mistakes{{Line: 1, Column: 1, Message: err.Error()}}
	}
	line, column := position(s, at)
	for _, m := range ms {
		if m.Line == 1 {
			m.Column += column - 1
		}
		m.Line += line - 1
		m.Path = strings.Join(c.path, ".")
		c.mistakes = append(c.mistakes, m)
	}
}

// position gives line and column, from 1, of a byte of s.
func position(s string, at int) (line, column int) {
	before := s[:at]
	start := strings.LastIndexByte(before, '\n') + 1
	return 1 + strings.Count(before, "\n"), 1 + len([]rune(before[start:]))
}

// assemble makes the node of a text. White space around a lone expression does not make it text.
func assemble(pieces []interface{ isPiece() }) node {
	var text strings.Builder
	var alone node
	expressions, secrets := 0, false
	for _, p := range pieces {
		switch p := p.(type) {
		case words:
			text.WriteString(string(p))
		case secret:
			alone, secrets = p, true
			expressions++
		case inline:
			alone = single(p)
			expressions++
		}
	}
	switch {
	case expressions == 1 && strings.TrimSpace(text.String()) == "":
		return alone
	case secrets:
		return sealed(pieces)
	default:
		return joined(pieces)
	}
}

// renderer is one rendering of a template.
type renderer struct {
	ctx   context.Context //nolint:containedctx // lives as long as one call of Render
	event any
	converter
}

func (f fixed) render(*renderer) (any, error) { return f.value, nil }

func (o object) render(r *renderer) (any, error) {
	m := make(map[string]any, len(o))
	for key, n := range o {
		v, err := n.render(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		m[key] = v
	}
	return m, nil
}

func (l list) render(r *renderer) (any, error) {
	values := make([]any, len(l))
	for i, n := range l {
		v, err := n.render(r)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", i, err)
		}
		values[i] = v
	}
	return values, nil
}

func (s single) render(r *renderer) (any, error) {
	v, err := r.value(s.program)
	if err == nil && marker.Holds(v) {
		err = evaluationError(s.text, errMarker)
	}
	return v, err
}

func (j joined) render(r *renderer) (any, error) {
	var b strings.Builder
	for _, p := range j {
		if err := r.write(&b, p); err != nil {
			return nil, err
		}
	}
	return b.String(), r.grow(b.Len())
}

// write adds a piece that is no secret to a text.
func (r *renderer) write(b *strings.Builder, p interface{ isPiece() }) error {
	switch p := p.(type) {
	case words:
		b.WriteString(string(p))
	case inline:
		v, err := r.value(p.program)
		if err != nil {
			return err
		}
		b.WriteString(inText(v))
	}
	return nil
}

func (r *renderer) value(p program) (any, error) {
	v, err := p.eval(r.ctx, r.event)
	if err != nil {
		return nil, err
	}
	plain, err := r.native(v)
	if err != nil {
		return nil, evaluationError(p.text, err)
	}
	return plain, nil
}

// inText gives a value as part of a text: null is nothing, objects and lists are JSON.
func inText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return string(v)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(b)
	}
}
