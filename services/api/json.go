package api

import (
	"encoding/json"
	"io"

	"github.com/danielgtaylor/huma/v2"

	"github.com/attune/attune/pkg/strictjson"
)

// strict reads bodies strictly and writes them without the escapes that are only good inside HTML.
var strict = huma.Format{Marshal: marshal, Unmarshal: strictjson.Unmarshal}

func marshal(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
