package plainjson_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/attune/attune/pkg/plainjson"
)

// message has a field of each kind.
type message struct {
	Text   string          `json:"text"`
	Int    int             `json:"int"`
	Int64  int64           `json:"int64"`
	Uint64 uint64          `json:"uint64"`
	Bool   bool            `json:"bool"`
	Time   time.Time       `json:"time"`
	Raw    json.RawMessage `json:"raw"`
	Rare   map[string]any  `json:"rare"`
	Part   *message        `json:"part"`
	List   []string        `json:"list"`
}

func (m *message) field(r *plainjson.Reader) func(key string) bool {
	return func(key string) bool {
		switch key {
		case "text":
			m.Text = r.Text()
		case "int":
			m.Int = r.Int()
		case "int64":
			m.Int64 = r.Int64()
		case "uint64":
			m.Uint64 = r.Uint64()
		case "bool":
			m.Bool = r.Bool()
		case "time":
			m.Time = r.Time()
		case "raw":
			m.Raw = r.Raw()
		case "rare":
			m.Rare = plainjson.Value(r, m.Rare)
		case "part":
			if m.Part == nil {
				m.Part = &message{}
			}
			r.Object(m.Part.field(r))
		case "list":
			m.List = []string{}
			r.Array(func() { m.List = append(m.List, r.Text()) })
		default:
			return false
		}
		return true
	}
}

// read reads a message, and tells whether it could.
func read(data []byte) (message, bool) {
	var m message
	r := plainjson.New(data)
	r.Object(m.field(r))
	return m, r.Done()
}

const whole = `{"text":"a","int":-12,"int64":-3000000000000,"uint64":18,"bool":true,"time":"2026-01-02T03:04:05.678Z",` +
	`"raw":{"a": [1, "}\""]},"rare":{"b":null},"part":{"text":"\u0041é","bool":false,"raw":null},"list":["x","y"]}`

func TestAPlainMessageIsReadAsEncodingJSONReadsIt(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		whole, `{}`, `{"part":{}}`, `{"list":[]}`, `{"int":0}`, `{"int":-0}`, `{"raw":1}`, `{"raw":"\\"}`, `{"raw":[[]]}`, `{"text":"","text":"b"}`,
	} {
		var want message
		if err := json.Unmarshal([]byte(data), &want); err != nil {
			t.Fatal(err)
		}
		got, ok := read([]byte(data))
		if !ok {
			t.Errorf("%s was not read", data)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", data, got, want)
		}
	}
}

func TestAnythingElseIsLeftToEncodingJSON(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"nothing":                     ``,
		"another value":               `[]`,
		"an end in the middle":        whole[:len(whole)-1],
		"more after it":               whole + " ",
		"white space":                 `{ "int":1}`,
		"white space after a value":   `{"raw":1 }`,
		"white space before a value":  `{"raw": 1}`,
		"a key of no field":           `{"other":1}`,
		"a key in another case":       `{"Int":1}`,
		"a key with an escape":        `{"\u0069nt":1}`,
		"null":                        `{"text":null}`,
		"a number that is not whole":  `{"int":1.5}`,
		"an exponent":                 `{"int":1e2}`,
		"a number that begins with 0": `{"int":01}`,
		"a number without digits":     `{"int":-}`,
		"a number that may not fit":   `{"int64":1000000000000000000}`,
		"a negative one":              `{"uint64":-1}`,
		"a wrong type":                `{"text":1}`,
		"no boolean":                  `{"bool":truth}`,
		"no time":                     `{"time":"now"}`,
		"a comma too many":            `{"int":1,}`,
		"a comma too few":             `{"int":1"bool":true}`,
		"a raw value that is not one": `{"raw":{"a":}}`,
		"a raw value that never ends": `{"raw":{"a":1`,
		"a string that never ends":    `{"text":"a\`,
		"a wrong escape":              `{"text":"\x"}`,
		"a control character":         "{\"text\":\"\n\"}",
		"a NUL":                       "{\"raw\":\x00}",
	} {
		if _, ok := read([]byte(data)); ok {
			t.Errorf("%s: %s was read", name, data)
		}
	}
}

func TestWhatIsReadIsNoPartOfTheData(t *testing.T) {
	t.Parallel()
	data := []byte(whole)
	got, ok := read(data)
	clear(data)
	want, _ := read([]byte(whole))
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("after the data has gone it is %+v, it was %+v", got, want)
	}
}

func FuzzWhatIsReadIsWhatEncodingJSONReads(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(`{"part":{"int":1},"part":{"int64":2},"list":["a"],"list":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := read(data)
		if !ok {
			return
		}
		var want message
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q was read, and encoding/json refuses it: %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, want %+v", data, got, want)
		}
	})
}
