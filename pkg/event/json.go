package event

import (
	"encoding/json"
	"errors"
	"unicode/utf8"
)

var (
	errNotJSON = errors.New("it is not JSON")
	errNotUTF8 = errors.New("it is not UTF-8")
)

// checkJSON tells whether data is one JSON value in UTF-8. encoding/json bounds the depth at 10,000.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errNotUTF8
	}
	if !json.Valid(data) {
		return errNotJSON
	}
	return nil
}
