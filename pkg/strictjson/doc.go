// Package strictjson reads JSON that comes from outside.
//
// It refuses what encoding/json lets through: duplicate keys, keys that fit a field only when case is
// ignored, unknown keys, invalid UTF-8, bytes after the value, nesting deeper than MaxDepth and numbers that
// no float64 or PostgreSQL numeric can hold. Numbers stay exact: they become json.Number. Every error is an
// *Error that names the field. Work and memory are linear in the input's length.
package strictjson
