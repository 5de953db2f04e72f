package logs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/streams"
)

// Remove removes a log: what is stored of it and what is still on the bus. Nothing is left of it, not even a note that
// it was there. Removing what is not there is no error, and a removal that was cut short is completed by another.
//
// It deletes messages by their sequence: deleting an object leaves a message for ever, and purging a subject of a
// stream with a million messages takes ten milliseconds, in which nobody else may write to it.
func (s *Store) Remove(ctx context.Context, id string) error {
	if err := s.RemoveStored(ctx, id); err != nil {
		return err
	}
	subjects, err := streams.LogsOf(id)
	if err != nil {
		return fmt.Errorf("remove log %.60q: %w: %w", id, ErrBadRequest, err)
	}
	if err := deleteAll(ctx, s.live, subjects); err != nil {
		return fmt.Errorf("remove log %s: %w", id, err)
	}
	return nil
}

// RemoveEnded removes the log of what ended at that time. Long afterwards the bus has nothing of it any more.
func (s *Store) RemoveEnded(ctx context.Context, id string, ended time.Time) error {
	if time.Since(ended) > streams.LiveAge+time.Hour {
		return s.RemoveStored(ctx, id)
	}
	return s.Remove(ctx, id)
}

// RemoveStored removes what is stored of a log. The manifest goes last, and of the segments the last first: until
// then the others are found by it, or by their names.
func (s *Store) RemoveStored(ctx context.Context, id string) error {
	if _, err := subject(id, Stdout); err != nil {
		return err
	}
	names, err := s.segmentNames(ctx, id)
	if err != nil {
		return fmt.Errorf("remove log %s: %w", id, err)
	}
	for _, name := range append(names, manifestName(id)) {
		if err := s.removeObject(ctx, name); err != nil {
			return fmt.Errorf("remove log %s: %w", id, err)
		}
	}
	return nil
}

// segmentNames lists the segments of a log, of each stream the last first. They are those of the manifest; without
// one that can be read, as many as follow on one another.
func (s *Store) segmentNames(ctx context.Context, id string) (names []string, err error) {
	m, err := s.storedManifest(ctx, id)
	switch {
	case err == nil:
		for _, stream := range Names() {
			for _, seg := range slices.Backward(m.Streams[stream].Segments) {
				names = append(names, seg.Name)
			}
		}
		return names, nil
	case !errors.Is(err, errUnreadable):
		return nil, err
	}
	for _, stream := range Names() {
		var found []string
		for n := 0; ; n++ {
			name := segmentName(id, stream, n)
			o, err := s.findObject(ctx, name)
			if err != nil {
				return nil, err
			}
			if o.Seq == 0 {
				break
			}
			found = append(found, name)
		}
		slices.Reverse(found)
		names = append(names, found...)
	}
	return names, nil
}

// errUnreadable is returned for a manifest that is not there, whole and of a version that is known.
var errUnreadable = errors.New("manifest cannot be read")

// storedManifest reads a manifest as removing it needs: nobody waits for one that is half removed.
func (s *Store) storedManifest(ctx context.Context, id string) (Manifest, error) {
	o, err := s.findObject(ctx, manifestName(id))
	if err != nil {
		return Manifest{}, err
	}
	if o.Seq == 0 {
		return Manifest{}, errUnreadable
	}
	var data []byte
	for seq := uint64(0); uint64(len(data)) < o.Size; {
		m, err := s.bucket.GetMsg(ctx, seq+1, jetstream.WithGetMsgSubject(chunkSubject(o.NUID)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return Manifest{}, errUnreadable
		}
		if err != nil {
			return Manifest{}, fmt.Errorf("read manifest: %w", err)
		}
		data, seq = append(data, m.Data...), m.Sequence
	}
	m, err := parseManifest(id, data)
	if err != nil {
		return Manifest{}, errUnreadable
	}
	return m, nil
}

// object is the description of a stored object.
type object struct {
	Seq  uint64 `json:"-"` // of its message; 0: there is none
	NUID string `json:"nuid"`
	Size uint64 `json:"size"`
}

func (s *Store) findObject(ctx context.Context, name string) (object, error) {
	m, err := s.bucket.GetLastMsgForSubject(ctx, descriptionSubject(name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return object{}, nil
	}
	if err != nil {
		return object{}, fmt.Errorf("find object %s: %w", name, err)
	}
	o := object{Seq: m.Sequence}
	if err := json.Unmarshal(m.Data, &o); err != nil {
		return object{Seq: m.Sequence}, nil //nolint:nilerr // it is no object of anybody's, and may be removed
	}
	return o, nil
}

// removeObject removes an object's chunks, then its description, by which they are found.
func (s *Store) removeObject(ctx context.Context, name string) error {
	o, err := s.findObject(ctx, name)
	if err != nil || o.Seq == 0 {
		return err
	}
	if o.NUID != "" && o.Size > 0 {
		if err := deleteAll(ctx, s.bucket, chunkSubject(o.NUID)); err != nil {
			return err
		}
	}
	return deleteMessage(ctx, s.bucket, o.Seq)
}

func descriptionSubject(name string) string {
	return "$O." + streams.ObjectsLogs + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

func chunkSubject(nuid string) string { return "$O." + streams.ObjectsLogs + ".C." + nuid }

// deleteAll deletes the messages of a subject one by one.
func deleteAll(ctx context.Context, from jetstream.Stream, subject string) error {
	for seq := uint64(0); ; {
		m, err := from.GetMsg(ctx, seq+1, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for messages of %s: %w", subject, err)
		}
		seq = m.Sequence
		if err := deleteMessage(ctx, from, seq); err != nil {
			return err
		}
	}
}

// deleteMessage deletes a message, and is content when it is gone already. What it held is not overwritten on disk.
func deleteMessage(ctx context.Context, from jetstream.Stream, seq uint64) error {
	err := from.DeleteMsg(ctx, seq)
	if err == nil {
		return nil
	}
	if _, missing := from.GetMsg(ctx, seq); errors.Is(missing, jetstream.ErrMsgNotFound) {
		return nil
	}
	return fmt.Errorf("delete message %d: %w", seq, err)
}
