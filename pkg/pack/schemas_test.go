package pack

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the published schemas anew")

// published is where the schemas are for people and their editors.
var published = filepath.Join("..", "..", "docs", "schemas")

func TestSchemasArePublished(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(Schemas(), "*.json")
	if err != nil || len(names) != len(schemas()) {
		t.Fatal(names, err)
	}
	there, err := filepath.Glob(filepath.Join(published, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(Schemas(), name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(published, name)
		if *update {
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := os.ReadFile(file); err != nil || string(out) != string(data) {
			t.Errorf("%s is not current (%v): run task gen", file, err)
		}
	}
	if !*update && len(there) != len(names) {
		t.Errorf("published are %v, want %v", there, names)
	}
}

func TestEveryPropertyIsDescribed(t *testing.T) {
	t.Parallel()
	for k := range schemas() {
		data, err := fs.ReadFile(Schemas(), string(k)+".json")
		if err != nil {
			t.Fatal(err)
		}
		var s described
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatal(k, err)
		}
		if s.Title == "" {
			t.Errorf("%s: no title", k)
		}
		s.check(t, string(k))
	}
}

// described is a schema as far as it is described.
type described struct {
	Title, Description string
	Properties         map[string]described
	Items              *described
	Additional         json.RawMessage `json:"additionalProperties"`
}

func (d described) check(t *testing.T, name string) {
	t.Helper()
	if len(d.Description) < 5 {
		t.Errorf("%s: no description", name)
	}
	for property, inner := range d.Properties {
		inner.check(t, name+"."+property)
	}
	if d.Items != nil {
		d.Items.check(t, name+"[]")
	}
	var inner described
	if wrong := new(json.UnmarshalTypeError); len(d.Additional) > 0 && !errors.As(json.Unmarshal(d.Additional, &inner), &wrong) {
		inner.check(t, name+".*")
	}
}
