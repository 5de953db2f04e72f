package logs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/attune/attune/streams"
)

// maxObjectChunk is the size of the messages that hold an object.
const maxObjectChunk = 128 << 10

// put stores an object in the form of ADR-20 of NATS: its chunks, then its description, which makes it appear.
//
// The library's own Put is not used: it opens a publishing context per object, with a goroutine that stays for
// ever when the object is stored before that goroutine has run, and reads before it writes. Names here are
// never used twice.
func (s *Store) put(ctx context.Context, meta jetstream.ObjectMeta, data []byte) error {
	info := jetstream.ObjectInfo{ObjectMeta: meta, Bucket: streams.ObjectsLogs, NUID: nuid.Next(), Size: uint64(len(data)), ModTime: time.Now().UTC()}
	info.Opts = &jetstream.ObjectMetaOptions{ChunkSize: maxObjectChunk}
	sum := sha256.New()
	sum.Write(data)
	info.Digest = jetstream.GetObjectDigestValue(sum)
	for ; len(data) > 0; info.Chunks++ {
		n := min(len(data), maxObjectChunk)
		if err := s.publish(ctx, meta.Name, "C."+info.NUID, nil, data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	described, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("describe %s: %w", meta.Name, err)
	}
	name := base64.URLEncoding.EncodeToString([]byte(meta.Name))
	return s.publish(ctx, meta.Name, "M."+name, nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}}, described)
}

func (s *Store) publish(ctx context.Context, object, part string, h nats.Header, data []byte) error {
	m := &nats.Msg{Subject: "$O." + streams.ObjectsLogs + "." + part, Header: h, Data: data}
	if _, err := s.Bus.JS.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("store %s: %w", object, err)
	}
	return nil
}
