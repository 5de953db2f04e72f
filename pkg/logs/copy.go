package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Span is a part of a log.
type Span struct {
	Offset int64 `json:"offset"`
	Bytes  int64 `json:"bytes"`
}

// Size is how long a stream of a log is now, markers included.
func (s *Store) Size(ctx context.Context, execution, stream string) (int64, error) {
	c, err := s.open(ctx, Request{Execution: execution, Stream: stream})
	if err != nil {
		return 0, err
	}
	defer c.close()
	return c.size(ctx)
}

// Copy writes exactly the first size bytes of a stream, and gives what of them cannot be read any more: in its place
// stand as many bytes that say so. It holds one chunk at a time.
func (s *Store) Copy(ctx context.Context, w io.Writer, execution, stream string, size int64) (missing []Span, err error) {
	pos := int64(0)
	lacks := func(n int64) error {
		missing = append(missing, Span{Offset: pos, Bytes: n})
		_, err := Chunk{Offset: pos, Missing: n}.WriteTo(w)
		return err
	}
	for chunk, err := range s.Read(ctx, Request{Execution: execution, Stream: stream}) {
		if err != nil {
			return missing, err
		}
		n := min(chunk.Next(), size) - pos
		if chunk.Missing > 0 {
			err = lacks(n)
		} else {
			_, err = w.Write(chunk.Data[:n])
		}
		if err != nil {
			return missing, err
		}
		if pos += n; pos == size {
			return missing, nil
		}
	}
	if pos == size {
		return missing, nil
	}
	return missing, lacks(size - pos)
}

// Known gives the manifest of a log, or what is stored of one that has none yet: it is not complete then. A log that
// has left nothing has a manifest with nothing in it.
func (s *Store) Known(ctx context.Context, execution string) (Manifest, error) {
	m, err := s.Manifest(ctx, execution)
	if !errors.Is(err, ErrNoManifest) {
		return m, err
	}
	m = Manifest{Version: manifestVersion, Execution: execution, Streams: map[string]StreamManifest{}}
	for _, stream := range Names() {
		if m.Streams[stream], err = s.segments(ctx, execution, stream); err != nil {
			return m, fmt.Errorf("log of execution %s: %w", execution, err)
		}
	}
	return m, nil
}
