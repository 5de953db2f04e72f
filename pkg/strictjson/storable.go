package strictjson

import "strings"

// Storable gives v with every NUL character replaced by U+FFFD, because PostgreSQL's jsonb refuses NUL.
// Parse has already replaced lone surrogates in the same way. changed tells whether anything was.
func Storable(v any) (clean any, changed bool) {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "\x00", "\uFFFD"), strings.Contains(v, "\x00")
	case []any:
		return storableList(v)
	case map[string]any:
		return storableMap(v)
	default:
		return v, false
	}
}

func storableList(list []any) (any, bool) {
	dirty := false
	for i, v := range list {
		clean, changed := Storable(v)
		list[i] = clean
		dirty = dirty || changed
	}
	return list, dirty
}

func storableMap(m map[string]any) (any, bool) {
	dirty := false
	for key, v := range m {
		clean, changed := Storable(v)
		name, renamed := Storable(key)
		if renamed {
			delete(m, key)
		}
		m[name.(string)] = clean
		dirty = dirty || changed || renamed
	}
	return m, dirty
}
