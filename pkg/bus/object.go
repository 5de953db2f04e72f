package bus

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
)

// objectChunk is the size of the messages that hold an object.
const objectChunk = 128 << 10

// PutObject stores an object whose name is used once, in the form of ADR-20 of NATS: its chunks, then its
// description, which makes it appear whole.
//
// The library's own Put opens a publishing context for each object, with a goroutine that stays for ever when
// the object is stored before that goroutine has run, and reads before it writes. What Put does besides, to
// remove the chunks of an object that is replaced, is not done here.
func (b *Bus) PutObject(ctx context.Context, bucket string, meta jetstream.ObjectMeta, data []byte) error {
	msgs, err := ObjectMessages(bucket, meta, data)
	if err != nil {
		return err
	}
	for _, m := range msgs {
		if _, err := b.JS.PublishMsg(ctx, m); err != nil {
			return fmt.Errorf("store object %s: %w", meta.Name, err)
		}
	}
	return nil
}

// PutObject stores an object whose name is used once, as Bus.PutObject does, together with others that come at the same
// time.
func (g *Group) PutObject(ctx context.Context, bucket string, meta jetstream.ObjectMeta, data []byte) error {
	msgs, err := ObjectMessages(bucket, meta, data)
	if err != nil {
		return err
	}
	if _, err := g.Publish(ctx, msgs...); err != nil {
		return fmt.Errorf("store object %s: %w", meta.Name, err)
	}
	return nil
}

// ObjectMessages gives the messages that PutObject stores, for those who store them in their own way: the chunks in
// order, and the description last. The chunks are parts of data.
func ObjectMessages(bucket string, meta jetstream.ObjectMeta, data []byte) ([]*nats.Msg, error) {
	info := jetstream.ObjectInfo{ObjectMeta: meta, Bucket: bucket, NUID: nuid.Next(), Size: uint64(len(data)), ModTime: time.Now().UTC()}
	info.Opts = &jetstream.ObjectMetaOptions{ChunkSize: objectChunk}
	info.Digest = ObjectDigest(data)
	var msgs []*nats.Msg
	for ; len(data) > 0; info.Chunks++ {
		n := min(len(data), objectChunk)
		chunk := nats.NewMsg("$O." + bucket + ".C." + info.NUID)
		chunk.Data = data[:n]
		msgs, data = append(msgs, chunk), data[n:]
	}
	described, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("describe object %s: %w", meta.Name, err)
	}
	m := nats.NewMsg("$O." + bucket + ".M." + base64.URLEncoding.EncodeToString([]byte(meta.Name)))
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	m.Data = described
	return append(msgs, m), nil
}

// ObjectDigest is the digest in the description of an object that holds data.
func ObjectDigest(data []byte) string {
	sum := sha256.New()
	sum.Write(data)
	return jetstream.GetObjectDigestValue(sum)
}
