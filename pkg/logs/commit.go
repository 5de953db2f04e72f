package logs

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/logging"
	"github.com/attune/attune/streams"
)

const (
	// singly is how many small objects go on their own at the same time: enough to keep the server busy.
	singly = 4
	// worthBatch is how many small objects go as one atomic batch rather than one by one. The server stages a batch
	// in files of their own, about twenty syncs whatever its size, and an object is two.
	worthBatch = 16
	// worthReplicated is the same for a bucket with replicas, whose server stages in memory.
	worthReplicated = 2
	// maxSmall is the largest object that is small: it has one chunk.
	maxSmall = 64 << 10
	// maxBatchBytes bounds what is held for one batch besides the number of its messages.
	maxBatchBytes = 4 << 20
)

// committer stores small objects, those of a process together when many come at once: what comes while others are on
// their way gathers, and goes as one atomic batch with one sync to disk for all. What comes alone goes alone and at
// once; nothing ever waits for company.
type committer struct {
	bus *bus.Bus
	log *slog.Logger

	mu      sync.Mutex // guards the fields below
	worth   int        // so many are worth a batch; 0: none are, since the bucket takes no batches
	flights int        // on their way; a batch counts as all that may go singly
	waiting []*small
}

// small is an object that waits to be stored.
type small struct {
	ctx  context.Context
	name string
	data []byte
	done chan error // takes one
}

// newCommitter makes a committer for a bucket whose stream is configured so.
func newCommitter(b *bus.Bus, log *slog.Logger, c jetstream.StreamConfig) *committer {
	worth := worthBatch
	switch {
	case !c.AllowAtomicPublish:
		worth = 0
	case c.Replicas > 1:
		worth = worthReplicated
	}
	return &committer{bus: b, log: log, worth: worth}
}

// put stores an object. When ctx ends before, it is unknown whether the object is stored.
func (c *committer) put(ctx context.Context, name string, data []byte) error {
	if len(data) > maxSmall {
		return c.alone(ctx, name, data)
	}
	c.mu.Lock()
	if len(c.waiting) == 0 && c.flights < singly {
		c.flights++
		c.mu.Unlock()
		err := c.alone(ctx, name, data)
		c.landed(1)
		return err
	}
	o := &small{ctx: ctx, name: name, data: data, done: make(chan error, 1)}
	c.waiting = append(c.waiting, o)
	c.mu.Unlock()
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// landed says that a flight is over, and sends off what may go then.
func (c *committer) landed(weight int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flights -= weight
	for len(c.waiting) > 0 && c.flights < singly {
		if c.worth > 0 && len(c.waiting) >= c.worth {
			c.flights += singly
			go c.together(c.takeMany())
			continue
		}
		c.flights++
		go c.next(c.waiting[0])
		c.waiting = c.waiting[1:]
	}
}

// takeMany takes as many as a batch may have. Its caller holds mu.
func (c *committer) takeMany() []*small {
	n, size := 0, 0
	for n < min(len(c.waiting), bus.MaxBatch/2) && (n == 0 || size+len(c.waiting[n].data) <= maxBatchBytes) {
		size += len(c.waiting[n].data)
		n++
	}
	taken := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	return taken
}

func (c *committer) alone(ctx context.Context, name string, data []byte) error {
	return c.bus.PutObject(ctx, streams.ObjectsLogs, jetstream.ObjectMeta{Name: name}, data)
}

func (c *committer) next(o *small) {
	o.done <- c.alone(o.ctx, o.name, o.data)
	c.landed(1)
}

func (c *committer) together(all []*small) {
	err := c.batch(all)
	for _, o := range all {
		o.done <- err
	}
	c.landed(singly)
}

// batch stores objects, all or none. Whoever has given up waiting may find that his is stored; its content is the
// same however often he tries.
func (c *committer) batch(all []*small) error {
	var msgs []*nats.Msg
	for _, o := range all {
		some, err := bus.ObjectMessages(streams.ObjectsLogs, jetstream.ObjectMeta{Name: o.name}, o.data)
		if err != nil {
			return err
		}
		msgs = append(msgs, some...)
	}
	_, err := c.bus.PublishBatch(context.Background(), msgs)
	var refused *jetstream.APIError
	if errors.As(err, &refused) && refused.ErrorCode != tooManyBatches {
		c.log.Warn("logs are stored one by one: the server refuses batches", slog.Any(logging.Error, err))
		c.mu.Lock()
		c.worth = 0
		c.mu.Unlock()
	}
	return err
}

// tooManyBatches is the server's code for a batch that it cannot take now: it bounds how many are under way.
const tooManyBatches jetstream.ErrorCode = 10210
