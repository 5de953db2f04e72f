package api

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	wire "github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/history"
)

// Paging says which page of a list is wanted.
type Paging struct {
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"How many at most"`
}

func (p Paging) page() history.Page { return history.Page{Cursor: p.Cursor, Limit: p.Limit} }

// pageOf gives a page of a list that is in memory, in the order of its keys. The cursor is the last key that
// was given, so that what comes and goes meanwhile neither hides nor repeats anything else.
func pageOf[T any](all []T, p Paging, key func(T) string) (*reply[wire.Page[T]], error) {
	after, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return nil, history.ErrBadCursor
	}
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	first, found := slices.BinarySearchFunc(all, string(after), func(v T, k string) int { return strings.Compare(key(v), k) })
	if found {
		first++
	}
	rest := all[first:]
	page := wire.Page[T]{Items: rest[:min(len(rest), p.Limit)]}
	if page.Items == nil {
		page.Items = []T{}
	}
	if len(rest) > p.Limit {
		page.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(key(rest[p.Limit-1])))
	}
	return answer(page), nil
}

// moment reads a time, or how long ago it was.
func moment(field, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return time.Now().UTC().Add(-ago), nil
	}
	return time.Time{}, invalid(field, "want a time such as 2026-01-31T08:00:00Z, or how long ago, such as 90m")
}

// period reads both ends of one.
func period(since, until string) (from, to time.Time, err error) {
	if from, err = moment("since", since); err != nil {
		return from, to, err
	}
	to, err = moment("until", until)
	return from, to, err
}
