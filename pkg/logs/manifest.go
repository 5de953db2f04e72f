package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// manifestVersion is the version of the stored form below.
const manifestVersion = 1

// encoding is how segments are compressed.
const encoding = "zstd"

// Manifest says what is stored of an execution's log.
type Manifest struct {
	Version   int                       `json:"v"`
	Execution string                    `json:"execution"`
	Complete  bool                      `json:"complete"`           // nothing will be added
	Encoding  string                    `json:"encoding,omitempty"` // of the segments
	Cut       bool                      `json:"cut,omitempty"`      // more may have been written: the runner was lost before all of it was stored
	Streams   map[string]StreamManifest `json:"streams"`
}

// StreamManifest says what is stored of one stream. Either Inline or Segments holds it.
type StreamManifest struct {
	Bytes    int64     `json:"bytes"`              // stored, markers included
	Written  int64     `json:"written"`            // what the process wrote
	Dropped  int64     `json:"dropped,omitempty"`  // of that, not kept
	First    time.Time `json:"first,omitzero"`     // when the first byte was read
	Last     time.Time `json:"last,omitzero"`      // when the last was
	Inline   []byte    `json:"inline,omitempty"`   // the whole stream, when it is short
	Marks    marks     `json:"marks,omitempty"`    // when the bytes of Inline were read
	Segments []Segment `json:"segments,omitempty"` // in order, without gaps
}

// Segment is one stored object: a zstd frame of consecutive bytes, and behind it, in a frame that decoders pass over,
// an index of the times at which they were read.
type Segment struct {
	Name   string    `json:"name"`
	Offset int64     `json:"offset"`
	Bytes  int64     `json:"bytes"`            // raw
	Stored int64     `json:"stored"`           // compressed, index included
	Index  int64     `json:"index,omitempty"`  // bytes of the index at the end of it; 0: there is none
	Digest string    `json:"digest,omitempty"` // SHA-256 of what is stored, in hexadecimal digits
	LiveAt uint64    `json:"live_seq"`         // the message of LOGS that holds the segment's last byte; 0: not known
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	End    string    `json:"end,omitempty"` // what ends with it; see the constants
}

// What may end with a segment. A stream whose last segment is another may have lost what followed.
const (
	endOfAttempt = "attempt" // an attempt that another follows; all it wrote is there
	endOfLog     = "log"     // the stream as Complete found it, whole
	endCut       = "cut"     // the same, and with a line that says that more may have been written
)

// add puts a segment behind the others.
func (m *StreamManifest) add(seg Segment) {
	if len(m.Segments) == 0 {
		m.First = seg.First
	}
	m.Segments = append(m.Segments, seg)
	m.Bytes, m.Last = seg.Offset+seg.Bytes, seg.Last
}

// inObjects is what the segments take in the object store.
func (m *StreamManifest) inObjects() (n int64) {
	for _, seg := range m.Segments {
		n += seg.Stored
	}
	return n
}

func manifestName(execution string) string { return execution + "/manifest.json" }

func segmentName(execution, stream string, n int) string {
	return fmt.Sprintf("%s/%s.%04d.zst", execution, stream, n)
}

// Manifest reads what is stored of an execution's log. It returns ErrNoManifest when nothing is.
func (s *Store) Manifest(ctx context.Context, execution string) (Manifest, error) {
	if _, err := subject(execution, Stdout); err != nil {
		return Manifest{}, err
	}
	data, err := s.objects.GetBytes(ctx, manifestName(execution))
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return Manifest{}, fmt.Errorf("log of execution %s: %w", execution, ErrNoManifest)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("log of execution %s: read manifest: %w", execution, err)
	}
	return parseManifest(execution, data)
}

func parseManifest(execution string, data []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return Manifest{}, fmt.Errorf("log of execution %s: parse manifest: %w", execution, err)
	}
	if m.Version < 1 || m.Version > manifestVersion {
		return Manifest{}, fmt.Errorf("log of execution %s: manifest version %d is not known", execution, m.Version)
	}
	return m, nil
}

// putManifest stores a manifest and tells its size.
func (s *Store) putManifest(ctx context.Context, m Manifest) (int64, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return 0, fmt.Errorf("log of execution %s: encode manifest: %w", m.Execution, err)
	}
	return int64(len(data)), s.small.PutObject(ctx, streams.ObjectsLogs, jetstream.ObjectMeta{Name: manifestName(m.Execution)}, data)
}

// segmentKey is the metadata of a segment's object that describes it, so that a segment can be read before
// there is a manifest, and without one when its runner has died.
const segmentKey = "attune-segment"

func (s *Store) putSegment(ctx context.Context, seg Segment, data []byte) error {
	described, err := json.Marshal(seg)
	if err != nil {
		return fmt.Errorf("segment %s: encode: %w", seg.Name, err)
	}
	return s.create(ctx, jetstream.ObjectMeta{Name: seg.Name, Metadata: map[string]string{segmentKey: string(described)}}, data)
}

// segments finds what is stored of a stream whose manifest is not.
func (s *Store) segments(ctx context.Context, execution, stream string) (m StreamManifest, err error) {
	for n := 0; ; n++ {
		info, err := s.objects.GetInfo(ctx, segmentName(execution, stream, n))
		if errors.Is(err, jetstream.ErrObjectNotFound) {
			return m, nil
		}
		if err != nil {
			return m, fmt.Errorf("log of execution %s: look for segment %d: %w", execution, n, err)
		}
		var seg Segment
		if err := json.Unmarshal([]byte(info.Metadata[segmentKey]), &seg); err != nil || seg.Offset != m.Bytes {
			return m, fmt.Errorf("segment %s: its description does not fit: %w", info.Name, errors.Join(errDamaged, err))
		}
		m.add(seg)
	}
}
