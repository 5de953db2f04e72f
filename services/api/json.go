package api

import (
	"encoding/json"
	"io"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/strictjson"
)

// strict reads bodies strictly and writes them without the escapes that are only good inside HTML.
var strict = huma.Format{Marshal: marshal, Unmarshal: unmarshal}

// unmarshal reads strictly. The tree that the library validates, and nothing else, gets numbers that it understands:
// bodies are read from the text, where they are exact.
func unmarshal(data []byte, v any) error {
	if err := strictjson.Unmarshal(data, v); err != nil {
		return err
	}
	if tree, ok := v.(*any); ok {
		*tree = withFloats(*tree)
	}
	return nil
}

func withFloats(tree any) any {
	switch v := tree.(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return f
		}
	case map[string]any:
		for k := range v {
			v[k] = withFloats(v[k])
		}
	case []any:
		for i := range v {
			v[i] = withFloats(v[i])
		}
	}
	return tree
}

func marshal(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
