package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/lifecycle"
)

// lookEvery is how often a watch looks whether its bucket is still the one that it began with.
const lookEvery = time.Minute

// Watch follows the entries of a bucket whose keys fit, as jetstream.KeyValue.Watch does: all that there are, nil, and then
// what changes. When it cannot be sure to have seen everything it ends, which closes the channel of its updates, and whoever
// follows a bucket for long has to begin again and to compare: when the connection was lost and is back, and when the bucket
// has been replaced. (The client library goes on behind the last sequence that it saw. In a bucket that was made anew,
// or that has lost its end, nothing comes until the sequences have caught up, and keys that went meanwhile and whose
// markers have expired stay for ever.)
func Watch(ctx context.Context, js jetstream.JetStream, bucket, keys string, o ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	return watchLooking(ctx, js, bucket, keys, lookEvery, o...)
}

func watchLooking(ctx context.Context, js jetstream.JetStream, bucket, keys string, every time.Duration, o ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	restored := js.Conn().StatusChanged(nats.CONNECTED) // before anything is read
	w := &watch{done: make(chan struct{})}
	var created time.Time
	kv, err := js.KeyValue(ctx, bucket)
	if err == nil {
		created, err = madeAt(ctx, kv)
	}
	if err != nil {
		js.Conn().RemoveStatusListener(restored)
		return nil, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	if w.KeyWatcher, err = kv.Watch(ctx, keys, o...); err != nil {
		js.Conn().RemoveStatusListener(restored)
		return nil, fmt.Errorf("watch bucket %s: %w", bucket, err)
	}
	ctx, w.cancel = context.WithCancel(ctx)
	go func() {
		defer close(w.done)
		defer js.Conn().RemoveStatusListener(restored)
		if outlived(ctx, restored, every, func() bool { return replaced(ctx, kv, created) }) {
			_ = w.KeyWatcher.Stop() // fails only when it has ended already
		}
	}()
	return w, nil
}

// watch ends a watch of the client library.
type watch struct {
	jetstream.KeyWatcher
	cancel context.CancelFunc
	done   chan struct{}
}

// outlived tells, when it returns, whether the watch has to begin again; false: ctx has ended.
func outlived(ctx context.Context, restored <-chan nats.Status, every time.Duration, replaced func() bool) bool {
	look := time.NewTimer(lifecycle.UntilBeat(every))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-restored:
			return true
		case <-look.C:
			if replaced() {
				return true
			}
			look.Reset(lifecycle.UntilBeat(every))
		}
	}
}

// Stop ends the watch.
func (w *watch) Stop() error {
	w.cancel()
	<-w.done
	return w.KeyWatcher.Stop()
}

// madeAt tells a bucket from others of the same name.
func madeAt(ctx context.Context, kv jetstream.KeyValue) (time.Time, error) {
	status, err := kv.Status(ctx)
	if err != nil {
		return time.Time{}, err
	}
	info, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return time.Time{}, fmt.Errorf("status of bucket %s is a %T", kv.Bucket(), status)
	}
	return info.StreamInfo().Created, nil
}

// replaced tells whether a bucket is not the one any more that was made then. While nobody says so it is.
func replaced(ctx context.Context, kv jetstream.KeyValue, created time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	now, err := madeAt(ctx, kv)
	if err != nil {
		return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound)
	}
	return !now.Equal(created)
}
