package expression

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/attune/attune/pkg/marker"
)

// variableSecrets is the name under which a template refers to secrets. It is no variable of CEL: what refers to it
// in any other way than as a whole expression is not declared, and the checker says where.
const variableSecrets = "secrets"

const secretsUse = "a secret can only be passed on as it is: write ${{ secrets.NAME }} as a rule's parameter, alone or within a text; " +
	"no expression can look at its value"

// secret is "${{ secrets.NAME }}": it becomes a marker, never a value.
type secret struct{ ref marker.Ref }

func (secret) isPiece() {}

func (s secret) render(*renderer) (any, error) { return marker.Of(s.ref), nil }

// secretOf reads an expression that is nothing but a reference to a secret.
func secretOf(source string) (ref marker.Ref, is bool, err error) {
	if !strings.Contains(source, variableSecrets) {
		return "", false, nil
	}
	e, err := environment(variableEvent)
	if err != nil {
		return "", false, fmt.Errorf("expression environment: %w", err)
	}
	parsed, issues := e.Parse(source)
	if issues.Err() != nil {
		return "", false, nil // reported by the compiler
	}
	name, is := secretName(parsed.NativeRep().Expr())
	if !is {
		return "", false, nil
	}
	ref, err = marker.ParseRef(name)
	switch {
	case err != nil:
		return "", true, Mistakes{{Line: 1, Column: 1, Message: fmt.Sprintf("%.80q cannot be the name of a secret", name)}}
	case ref.Kind() != marker.Named:
		return "", true, Mistakes{{Line: 1, Column: 1, Message: fmt.Sprintf("%.80q: a rule has no user; it can refer to secrets of its pack and to global ones", name)}}
	}
	return ref, true, nil
}

// secretName reads secrets.NAME and secrets["NAME"].
func secretName(e ast.Expr) (string, bool) {
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		return s.FieldName(), !s.IsTestOnly() && isSecrets(s.Operand())
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != operators.Index || len(call.Args()) != 2 || !isSecrets(call.Args()[0]) || call.Args()[1].Kind() != ast.LiteralKind {
			return "", false
		}
		name, ok := call.Args()[1].AsLiteral().(types.String)
		return string(name), ok
	default:
		return "", false
	}
}

func isSecrets(e ast.Expr) bool {
	return e.Kind() == ast.IdentKind && e.AsIdent() == variableSecrets
}

// Conceals tells whether a template's text becomes a marker: it refers to a secret, alone or within a text.
func Conceals(text string) bool { return len(Secrets(text)) > 0 }

// Secrets lists what a template refers to, as often as it does.
func Secrets(template any) (refs []marker.Ref) {
	switch v := template.(type) {
	case string:
		pieces, _, _ := cut(v)
		for _, p := range pieces {
			if ref, is, err := secretOf(p.text); p.expression && is && err == nil {
				refs = append(refs, ref)
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			refs = append(refs, Secrets(v[key])...)
		}
	case []any:
		for _, elem := range v {
			refs = append(refs, Secrets(elem)...)
		}
	}
	return refs
}

// sealed is a text in which secrets are.
type sealed []interface{ isPiece() }

func (s sealed) render(r *renderer) (any, error) {
	var parts []any
	var text strings.Builder
	for _, p := range s {
		if p, ok := p.(secret); ok {
			if text.Len() > 0 {
				parts = append(parts, text.String())
				text.Reset()
			}
			parts = append(parts, marker.Of(p.ref))
			continue
		}
		if err := r.write(&text, p); err != nil {
			return nil, err
		}
	}
	if text.Len() > 0 {
		parts = append(parts, text.String())
	}
	return marker.Text(parts), r.grow(2 * len(parts))
}

// errMarker is what an event gets whose data look like a reference to a secret: it would be resolved in its place.
var errMarker = errors.New("the data has a key that refers to a secret ($secret); only rules can refer to secrets")

// literalMarker is what a rule gets that writes a marker itself.
const literalMarker = "looks like a reference to a secret; write ${{ secrets.NAME }}"
