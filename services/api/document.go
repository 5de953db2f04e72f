package api

import (
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// documentBody says what a route reads, where its handler reads the body itself.
func documentBody[T any](a huma.API, o huma.Operation, media ...string) {
	described := operation(a, o)
	schema := a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
	described.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{}}
	for i, m := range media {
		described.RequestBody.Content[m] = &huma.MediaType{}
		if i == 0 {
			described.RequestBody.Content[m].Schema = schema
		}
	}
}

// documentUpload says that a route reads a file.
func documentUpload(a huma.API, o huma.Operation, media ...string) {
	described := operation(a, o)
	described.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
	for _, m := range media {
		described.RequestBody.Content[m] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	}
}

// documentAnswer says what a route streams.
func documentAnswer(a huma.API, o huma.Operation, media ...string) {
	described := &huma.Response{Description: http.StatusText(http.StatusOK), Content: map[string]*huma.MediaType{}}
	for _, m := range media {
		described.Content[m] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	operation(a, o).Responses[strconv.Itoa(http.StatusOK)] = described
}

func operation(a huma.API, o huma.Operation) *huma.Operation {
	item := a.OpenAPI().Paths[o.Path]
	if o.Method == http.MethodPost {
		return item.Post
	}
	return item.Get
}
