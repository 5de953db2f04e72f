package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
)

//go:embed docs.html
var docsPage string

// routeDocs serves the description of all routes, for programs and for people. Either is made once, when somebody asks
// for it first: most servers are never asked. The page needs nothing but itself: no script, no font, no other site.
func (s *Server) routeDocs(r chi.Router, o *huma.OpenAPI) {
	description := sync.OnceValue(func() []byte { return describe(o) })
	page := sync.OnceValue(func() []byte { return render(docsOf(o)) })
	s.page(r, "/openapi.json", anyCaller(), serve("application/vnd.oai.openapi+json;version=3.1", description))
	s.page(r, "/docs", anyCaller(), serve("text/html; charset=utf-8", page))
}

func describe(o *huma.OpenAPI) []byte {
	description, err := json.Marshal(o)
	if err != nil {
		panic("api: OpenAPI document: " + err.Error()) // it is made of our own types, and a test asks for it
	}
	return description
}

func render(d docs) []byte {
	var page bytes.Buffer
	if err := template.Must(template.New("docs").Funcs(docsFuncs()).Parse(docsPage)).Execute(&page, d); err != nil {
		panic("api: page of the documentation: " + err.Error()) // likewise
	}
	return page.Bytes()
}

func serve(media string, body func() []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", media)
		h.Set("Content-Security-Policy", policy+"; style-src 'unsafe-inline'")
		_, _ = w.Write(body()) // the client has gone; there is nobody to tell
	}
}

// docs is what the page shows.
type docs struct {
	Title, Version, About string
	Tags                  []docsTag
	Schemas               []docsSchema
}

type docsTag struct {
	Name   string
	Routes []docsRoute
}

type docsRoute struct {
	Method, Path string
	*huma.Operation
}

type docsSchema struct {
	Name string
	*huma.Schema
}

func docsOf(o *huma.OpenAPI) docs {
	d := docs{Title: o.Info.Title, Version: o.Info.Version, About: o.Info.Description}
	byTag := map[string][]docsRoute{}
	for path, item := range o.Paths {
		for method, route := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete} {
			if route != nil {
				byTag[route.Tags[0]] = append(byTag[route.Tags[0]], docsRoute{Method: method, Path: path, Operation: route})
			}
		}
	}
	for _, name := range sortedKeys(byTag) {
		routes := byTag[name]
		slices.SortFunc(routes, func(a, b docsRoute) int { return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method) })
		d.Tags = append(d.Tags, docsTag{Name: name, Routes: routes})
	}
	schemas := o.Components.Schemas.Map()
	for _, name := range sortedKeys(schemas) {
		d.Schemas = append(d.Schemas, docsSchema{Name: name, Schema: schemas[name]})
	}
	return d
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func docsFuncs() template.FuncMap {
	return template.FuncMap{
		"public":   func(r docsRoute) bool { return r.Security != nil && len(r.Security) == 0 },
		"required": slices.Contains[[]string],
		"kind":     kindOf,
		"ref":      refOf,
	}
}

// refOf gives the name of the schema that a schema is, or is a list of.
func refOf(s *huma.Schema) string {
	if s == nil {
		return ""
	}
	if s.Ref != "" {
		return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
	}
	return refOf(s.Items)
}

// kindOf words the type of a value.
func kindOf(s *huma.Schema) string {
	switch {
	case s == nil || (s.Type == "" && s.Ref == ""):
		return "any JSON"
	case s.Type == huma.TypeArray:
		return "list of " + kindOf(s.Items)
	case s.Ref != "":
		return refOf(s)
	case s.Format != "":
		return s.Type + ", " + s.Format
	}
	return s.Type
}
