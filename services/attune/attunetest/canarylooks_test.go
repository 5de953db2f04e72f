package attunetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/streams"
)

// request begins to read from an address.
func (h *hunt) request(ctx context.Context, address string) *http.Response {
	h.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.in.Token)
	resp, err := h.http.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp
}

func (h *hunt) get(path string) []byte {
	h.t.Helper()
	resp := h.request(h.t.Context(), h.in.APIURL+"/api/v1"+path)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		h.t.Errorf("GET %s: %d %v %.200s", path, resp.StatusCode, err, text)
	}
	return append(text, ' ')
}

// lookAtAPI reads every route that the API describes, with everything that there is to fill into its path.
func (h *hunt) lookAtAPI(runs []run) {
	h.t.Helper()
	fill := map[string][]string{
		"/executions/{id}": nil, "/events/{id}": h.ids("/events"), "/packs/{name}": {"canary"}, "/packs/{name}/config": {"canary"},
		"/packs/{name}/status": {"canary"}, "/actions/{ref}": {"canary.shell"}, "/triggers/{ref}": {"canary.seen"}, "/rules/{ref}": {"canary.seen"},
		"/queues/{ref}": {"canary.shell"}, "/actions/{ref}/queue-stats": {"canary.shell"}, "/executions/{id}/logs/stdout": nil, "/executions/{id}/logs/stderr": nil,
	}
	for _, r := range runs {
		for _, path := range []string{"/executions/{id}", "/executions/{id}/logs/stdout", "/executions/{id}/logs/stderr"} {
			fill[path] = append(fill[path], r.id)
		}
	}
	for path, values := range fill {
		for _, v := range values {
			full := strings.NewReplacer("{id}", v, "{name}", v, "{ref}", v).Replace(path)
			h.look("GET "+full, h.get(full))
		}
	}
	for _, path := range h.lists() {
		h.look("GET "+path, h.get(path))
	}
}

// lists gives the routes of the API's description whose paths name nothing, but for streams, which do not end.
func (h *hunt) lists() (paths []string) {
	h.t.Helper()
	resp := h.request(h.t.Context(), h.in.APIURL+"/openapi.json")
	defer resp.Body.Close()
	var doc struct{ Paths map[string]map[string]any }
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		h.t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		short, ours := strings.CutPrefix(path, "/api/v1")
		if ours && methods["get"] != nil && !strings.ContainsRune(path, '{') && !strings.HasSuffix(path, "/stream") {
			paths = append(paths, short)
		}
	}
	if len(paths) < 8 {
		h.t.Errorf("the API describes only %v", paths)
	}
	return paths
}

func (h *hunt) ids(list string) (ids []string) {
	h.t.Helper()
	var page struct{ Items []struct{ ID string } }
	if err := json.Unmarshal(h.get(list), &page); err != nil {
		h.t.Fatal(err)
	}
	for _, x := range page.Items {
		ids = append(ids, x.ID)
	}
	return ids
}

// lookAtDatabase reads every row of every table, as a dump would.
func (h *hunt) lookAtDatabase() {
	h.t.Helper()
	password, err := os.ReadFile(filepath.Join(h.in.Dir, "postgres", "password"))
	if err != nil {
		h.t.Fatal(err)
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword("attune", string(password)), Path: "/attune", RawQuery: url.Values{
		"host": {filepath.Join(h.in.Dir, "postgres", "run")}, "port": {"5432"},
	}.Encode()}
	conn, err := pgx.Connect(h.t.Context(), u.String())
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(h.t.Context())) //nolint:errcheck // it was only read
	rows, err := conn.Query(h.t.Context(), "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
	if err != nil {
		h.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || !slices.ContainsFunc(tables, func(t string) bool { return strings.HasSuffix(t, ".executions") }) {
		h.t.Fatal(tables, err)
	}
	for _, table := range tables {
		var dump bytes.Buffer
		if _, err := conn.PgConn().CopyTo(h.t.Context(), &dump, "COPY "+table+" TO STDOUT"); err != nil {
			if _, err = conn.PgConn().CopyTo(h.t.Context(), &dump, "COPY (SELECT * FROM "+table+") TO STDOUT"); err != nil { // a table of partitions
				h.t.Error(table, err)
			}
		}
		h.look("table "+table, append(dump.Bytes(), ' '))
	}
}

// bus connects with the rights of the API: it may read everything.
func (h *hunt) bus() *bus.Bus {
	h.t.Helper()
	b, err := bus.Connect(h.t.Context(), bus.Config{
		URL: h.in.NATSURL, CredsFile: filepath.Join(filepath.Dir(h.in.NATSCreds), streams.UserPeople+".creds"), Name: h.t.Name(), FailFast: true,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(b.Close)
	return b
}

// lookAtStreams reads every message of every stream, and every stored object as it is and unpacked.
func (h *hunt) lookAtStreams() {
	h.t.Helper()
	b := h.bus()
	names := b.JS.StreamNames(h.t.Context())
	for name := range names.Name() {
		h.lookAtStream(b, name)
	}
	if names.Err() != nil {
		h.t.Fatal(names.Err())
	}
	for _, bucket := range []string{streams.ObjectsLogs, streams.ObjectsPacks} {
		objects, err := b.JS.ObjectStore(h.t.Context(), bucket)
		if err != nil {
			h.t.Fatal(err)
		}
		list, err := objects.List(h.t.Context())
		if err != nil || len(list) == 0 {
			h.t.Fatal(bucket, len(list), err)
		}
		for _, o := range list {
			data, err := objects.GetBytes(h.t.Context(), o.Name)
			if err != nil {
				h.t.Error(o.Name, err)
			}
			h.look("object "+o.Name, append(data, unpacked(data)...))
		}
	}
}

func (h *hunt) lookAtStream(b *bus.Bus, name string) {
	h.t.Helper()
	s, err := b.JS.Stream(h.t.Context(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	state := s.CachedInfo().State
	if state.Msgs == 0 {
		return
	}
	var all bytes.Buffer
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(h.t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // it was deleted
		}
		if err != nil {
			h.t.Fatal(name, err)
		}
		fmt.Fprintf(&all, "%s %v %s\n", m.Subject, m.Header, m.Data)
	}
	h.look("stream "+name, all.Bytes())
}

// unpacked gives what is compressed, and nothing of what is not.
func unpacked(data []byte) []byte {
	d, err := zstd.NewReader(nil)
	if err != nil {
		return nil
	}
	defer d.Close()
	out, _ := d.DecodeAll(data, nil) // what is no archive gives nothing
	return out
}

// lookAtFiles reads every file below folders: those of NATS, PostgreSQL and runners, what programs left, and core files.
func (h *hunt) lookAtFiles(folders ...string) {
	h.t.Helper()
	files := 0
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return nil //nolint:nilerr // it was there a moment ago
			}
			if text, err := os.ReadFile(file); err == nil && len(text) > 0 {
				h.look("file "+file, text)
				files++
			}
			return nil
		})
		if err != nil {
			h.t.Error(err)
		}
	}
	if files < 100 {
		h.t.Errorf("only %d files were read", files)
	}
}
