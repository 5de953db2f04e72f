package expression

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// The functions below have the names and meanings of CEL's strings extension, whose own have no bounds:
// one replace there can fill the memory.
const (
	maxText    = 1 << 20  // bytes of a text that a function makes
	maxPieces  = 10_000   // that split makes
	maxMatches = 10 << 20 // pattern steps times bytes of one matches, about 0.1 s at the very worst
)

const errTooLarge = "too large"

var (
	errText     = errors.New("text is " + errTooLarge)
	errPieces   = errors.New("number of pieces is " + errTooLarge)
	errPattern  = errors.New("text and pattern of matches are " + errTooLarge)
	errPosition = errors.New("position is outside the text")
)

func functions() []cel.EnvOption {
	s, i, list := cel.StringType, cel.IntType, cel.ListType(cel.StringType)
	texts := func(n int) []*cel.Type { return []*cel.Type{s, s, s}[:n] }
	return []cel.EnvOption{
		member("lowerAscii", texts(1), s, func(a []ref.Val) (ref.Val, error) { return ascii(text(a[0]), 'A', 'Z'), nil }),
		member("upperAscii", texts(1), s, func(a []ref.Val) (ref.Val, error) { return ascii(text(a[0]), 'a', 'z'), nil }),
		member("trim", texts(1), s, func(a []ref.Val) (ref.Val, error) { return types.String(strings.TrimSpace(text(a[0]))), nil }),
		member("replace", texts(3), s, replace),
		member("split", texts(2), list, split),
		member("join", []*cel.Type{list}, s, join),
		member("join", []*cel.Type{list, s}, s, join),
		member("indexOf", texts(2), i, func(a []ref.Val) (ref.Val, error) { return index(a, strings.Index), nil }),
		member("lastIndexOf", texts(2), i, func(a []ref.Val) (ref.Val, error) { return index(a, strings.LastIndex), nil }),
		member("substring", []*cel.Type{s, i}, s, substring),
		member("substring", []*cel.Type{s, i, i}, s, substring),
		member("charAt", []*cel.Type{s, i}, s, charAt),
		member("matches", texts(2), cel.BoolType, matches),
		cel.Function("matches", cel.Overload("attune_matches", texts(2), cel.BoolType, binding(matches))),
		cel.Function("string", cel.Overload("attune_wide_to_string", []*cel.Type{wideType}, s, convert(types.StringType))),
		cel.Function("double", cel.Overload("attune_wide_to_double", []*cel.Type{wideType}, cel.DoubleType, convert(types.DoubleType))),
	}
}

func member(name string, args []*cel.Type, result *cel.Type, fn func([]ref.Val) (ref.Val, error)) cel.EnvOption {
	id := fmt.Sprintf("attune_member_%s_%d", name, len(args))
	return cel.Function(name, cel.MemberOverload(id, args, result, binding(fn)))
}

// binding fits a function to all ways in which CEL calls overloads.
func binding(fn func([]ref.Val) (ref.Val, error)) cel.OverloadOpt {
	return cel.FunctionBinding(func(args ...ref.Val) ref.Val {
		v, err := fn(args)
		if err != nil {
			return types.NewErr("%s", err.Error())
		}
		return v
	})
}

func convert(t ref.Type) cel.OverloadOpt {
	return cel.UnaryBinding(func(v ref.Val) ref.Val { return v.ConvertToType(t) })
}

func text(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

// ascii flips the case of the letters from first to last.
func ascii(s string, first, last rune) ref.Val {
	return types.String(strings.Map(func(r rune) rune {
		if r >= first && r <= last {
			return r ^ ' '
		}
		return r
	}, s))
}

func replace(a []ref.Val) (ref.Val, error) {
	s, old, with := text(a[0]), text(a[1]), text(a[2])
	if len(s)+strings.Count(s, old)*max(0, len(with)-len(old)) > maxText {
		return nil, errText
	}
	return types.String(strings.ReplaceAll(s, old, with)), nil
}

func split(a []ref.Val) (ref.Val, error) {
	s, separator := text(a[0]), text(a[1])
	if strings.Count(s, separator) > maxPieces {
		return nil, errPieces
	}
	return types.NewStringList(types.DefaultTypeAdapter, strings.Split(s, separator)), nil
}

func join(a []ref.Val) (ref.Val, error) {
	separator := ""
	if len(a) > 1 {
		separator = text(a[1])
	}
	list, ok := a[0].(traits.Lister)
	if !ok {
		return nil, errors.New("join needs a list of texts")
	}
	var b strings.Builder
	for it, first := list.Iterator(), true; it.HasNext() == types.True; first = false {
		piece, ok := it.Next().(types.String)
		if !ok {
			return nil, errors.New("join needs a list of texts")
		}
		if !first {
			b.WriteString(separator)
		}
		b.WriteString(string(piece))
		if b.Len() > maxText {
			return nil, errText
		}
	}
	return types.String(b.String()), nil
}

// index counts in characters, as everything in CEL does.
func index(a []ref.Val, find func(s, part string) int) ref.Val {
	s := text(a[0])
	at := find(s, text(a[1]))
	if at < 0 {
		return types.Int(-1)
	}
	return types.Int(utf8.RuneCountInString(s[:at]))
}

func substring(a []ref.Val) (ref.Val, error) {
	runes := []rune(text(a[0]))
	from, to := a[1].(types.Int), types.Int(len(runes))
	if len(a) > 2 {
		to = a[2].(types.Int)
	}
	if from < 0 || from > to || to > types.Int(len(runes)) {
		return nil, errPosition
	}
	return types.String(runes[from:to]), nil
}

func charAt(a []ref.Val) (ref.Val, error) {
	runes, at := []rune(text(a[0])), a[1].(types.Int)
	switch {
	case at < 0 || at > types.Int(len(runes)):
		return nil, errPosition
	case at == types.Int(len(runes)):
		return types.String(""), nil
	default:
		return types.String(runes[at]), nil
	}
}

func matches(a []ref.Val) (ref.Val, error) {
	s := text(a[0])
	p, err := patterns.get(text(a[1]))
	if err != nil {
		return nil, err
	}
	if p.steps*len(s) > maxMatches {
		return nil, errPattern
	}
	return types.Bool(p.MatchString(s)), nil
}

type pattern struct {
	*regexp.Regexp
	steps int // instructions of its program: matching takes at most this many steps a byte
}

// patterns keeps compiled patterns.
var patterns patternCache

type patternCache struct {
	mu   sync.Mutex // guards the field below
	made map[string]pattern
}

// maxPatterns is how many patterns are kept; there are far fewer unless events bring them.
const maxPatterns = 1000

func (c *patternCache) get(text string) (pattern, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.made[text]; ok {
		return p, nil
	}
	p, err := compilePattern(text)
	if err != nil {
		return pattern{}, err
	}
	if c.made == nil || len(c.made) >= maxPatterns {
		c.made = map[string]pattern{}
	}
	c.made[text] = p
	return p, nil
}

func compilePattern(text string) (pattern, error) {
	if len(text) > maxSource {
		return pattern{}, errPattern
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return pattern{}, err
	}
	compiled, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return pattern{}, err
	}
	re, err := regexp.Compile(text)
	return pattern{Regexp: re, steps: len(compiled.Inst)}, err
}

// costs prices our own functions by what they read and make; the rest has CEL's own prices.
type costs struct{}

func (costs) CallCost(_, overload string, args []ref.Val, result ref.Val) *uint64 {
	if !strings.HasPrefix(overload, "attune_") {
		return nil
	}
	cost := uint64(1 + sizeOf(result)/10)
	for _, a := range args {
		cost += uint64(sizeOf(a) / 10)
	}
	return &cost
}

func sizeOf(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return len(v)
	case traits.Sizer:
		n, _ := v.Size().(types.Int)
		return int(n)
	default:
		return 1
	}
}
