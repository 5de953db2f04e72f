package pack

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/schema"
)

// checkKey refuses a concurrency key that looks at a secret: keys are shown wherever queues are.
func (d *document) checkKey(key *expression.Key, parameters *schema.Schema) {
	if key == nil {
		return
	}
	if slices.ContainsFunc(key.Reads(), parameters.SecretAt) {
		d.at(codeSecretKey, []string{"concurrency", "key"}, "concurrency.key: looks at a parameter that is secret, and keys are shown; choose another")
	}
}

// checkSecrets refuses two secrets that a program would get under one name.
func (d *document) checkSecrets() {
	names := map[string]bool{}
	secrets, _ := d.get("secrets").([]any)
	for i, v := range secrets {
		text, _ := v.(string) // what is no text is the schema's to report
		name := marker.Ref(text).Name()
		if names[name] {
			d.at(codeValue, []string{"secrets", strconv.Itoa(i)}, "secrets: the program would get two under the name %s", name)
		}
		names[name] = true
	}
}

// checkReferences checks what refers to secrets in the value of a top-level key.
func (d *document) checkReferences(key string) {
	places, err := marker.Find(d.get(key))
	var malformed *marker.Error
	switch {
	case errors.As(err, &malformed):
		d.at(codeValue, append([]string{key}, malformed.Path...), "%s: %v", key, malformed)
		return
	case err != nil:
		d.at(codeValue, []string{key}, "%s: %v", key, err)
	}
	for _, p := range places {
		for _, ref := range p.Refs() {
			if ref.Kind() != marker.Named {
				d.at(codeValue, append([]string{key}, p.Path...), "%s: %s: only secrets of the pack and global ones can be used here", key, ref)
			}
		}
	}
}

// checkClear refuses values that a rule gives in the clear where its action wants secrets.
func (d *document) checkClear(action *document) {
	given, _ := d.get("parameters").(map[string]any)
	tree, ok := action.get("parameters").(map[string]any)
	if !ok {
		return
	}
	compiled, err := schema.CompileValue(tree)
	if err != nil {
		return // reported where the action is
	}
	for _, path := range compiled.Secrets(given) {
		if at := clearAt(schema.At(given, path), path); at != nil {
			field := strings.Join(at, ".")
			d.at(codeClearSecret, append([]string{"parameters"}, at...), "parameters.%s: is secret, and everybody can read what stands here; "+
				"store it with attune secret set, and write ${{ secrets.NAME }}", field)
		}
	}
}

// clearAt gives the place of the first value that is not made of secrets.
func clearAt(v any, path []string) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		if expression.Conceals(v) {
			return nil
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if at := clearAt(v[key], append(slices.Clip(path), key)); at != nil {
				return at
			}
		}
		return nil
	case []any:
		for i, elem := range v {
			if at := clearAt(elem, append(slices.Clip(path), strconv.Itoa(i))); at != nil {
				return at
			}
		}
		return nil
	}
	return path
}
