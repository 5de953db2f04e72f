package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/attune/attune/pkg/api"
)

// Filter narrows a list. The empty one is everything.
type Filter map[string]string

func (f Filter) query() url.Values {
	q := url.Values{}
	for k, v := range f {
		if v != "" {
			q.Set(k, v)
		}
	}
	return q
}

// maxPage is how many items are asked for at once.
const maxPage = 200

// list reads pages until it has limit items, 0 meaning all. More tells that the API has others.
func list[T any](ctx context.Context, c *Client, path string, f Filter, limit int) (items []T, more bool, err error) {
	q := f.query()
	for {
		q.Set("limit", strconv.Itoa(pageSize(limit, len(items))))
		page, err := get[api.Page[T]](ctx, c, path, q)
		if err != nil {
			return nil, false, err
		}
		items = append(items, page.Items...)
		if page.NextCursor == "" || len(page.Items) == 0 {
			return items, false, nil
		}
		if limit > 0 && len(items) >= limit {
			return items[:limit], true, nil
		}
		q.Set("cursor", page.NextCursor)
	}
}

func pageSize(limit, have int) int {
	if limit <= 0 || limit-have > maxPage {
		return maxPage
	}
	return limit - have
}

// none is the answer that holds nothing.
type none struct{}

func (c *Client) remove(ctx context.Context, path string) error {
	_, err := call[none](ctx, c, request{method: http.MethodDelete, path: path})
	return err
}
