package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrPullEnded is returned when the server takes no requests for messages: the consumer is gone, or JetStream is not
// ready.
var ErrPullEnded = errors.New("pull ended by the server")

const (
	// pullHeartbeat is how often the server says that a request still stands, pullSilence after what silence it is taken
	// for forgotten.
	pullHeartbeat = 5 * time.Second
	pullSilence   = 2*pullHeartbeat + pullHeartbeat/2
	// ephemeralAge is how long the server keeps the consumer of a reader that has died.
	ephemeralAge = time.Minute
	// goodbye bounds the removal of such a consumer by a reader that lives.
	goodbye = time.Second
)

// Pull takes messages from a pull consumer, whatever headers they have: see isMessage. It is one goroutine's.
type Pull struct {
	conn  *nats.Conn
	api   string // subject of requests
	in    chan *nats.Msg
	back  <-chan nats.Status // the connection was lost, and with it what was asked for, and is back
	inbox string             // before the number of a request
	asked int                // requests
	sub   *nats.Subscription
	close func()
}

// NewPull makes one that asks for at most so many messages at once.
func (b *Bus) NewPull(stream, consumer string, most int) (*Pull, error) {
	p := &Pull{
		conn: b.Conn, api: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer,
		in: make(chan *nats.Msg, 2*most+64), // what an earlier request brings late finds room too
	}
	p.inbox = b.Conn.NewInbox() + "."
	var err error
	if p.sub, err = b.Conn.ChanSubscribe(p.inbox+"*", p.in); err != nil {
		return nil, fmt.Errorf("pull from %s: %w", stream, err)
	}
	back := b.Conn.StatusChanged(nats.CONNECTED)
	p.back, p.close = back, func() { b.Conn.RemoveStatusListener(back) }
	return p, nil
}

// PullFrom makes one that reads a stream in order, from a sequence on. Its messages are not to be acknowledged.
func (b *Bus) PullFrom(ctx context.Context, stream string, from uint64, most int) (*Pull, error) {
	c, err := b.JS.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1), AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: ephemeralAge,
	})
	if err != nil {
		return nil, fmt.Errorf("read %s from %d: %w", stream, from, err)
	}
	name := c.CachedInfo().Name
	p, err := b.NewPull(stream, name, most)
	if err != nil {
		return nil, err
	}
	forget := p.close
	p.close = func() {
		forget()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		_ = b.JS.DeleteConsumer(ctx, stream, name) // what is left behind goes when nobody has asked it for some time
	}
	return p, nil
}

// Close ends the pull.
func (p *Pull) Close() {
	_ = p.sub.Unsubscribe() // it fails only when the connection is closed, and with it the subscription
	p.close()
}

// Wanted says what to fetch.
type Wanted struct {
	Messages int           // at most
	Bytes    int           // at most, all together; 0: not bounded
	Wait     time.Duration // how long to wait until there are so many; 0: take what is there
}

func (p *Pull) request(w Wanted) error {
	body := struct {
		Batch     int           `json:"batch"`
		MaxBytes  int           `json:"max_bytes,omitempty"`
		NoWait    bool          `json:"no_wait,omitempty"`
		Expires   time.Duration `json:"expires,omitempty"`
		Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
	}{Batch: w.Messages, MaxBytes: w.Bytes, NoWait: w.Wait == 0, Expires: w.Wait}
	if w.Wait > 2*pullHeartbeat {
		body.Heartbeat = pullHeartbeat
	}
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("pull: encode request: %w", err)
	}
	p.asked++
	if err := p.conn.PublishRequest(p.api, p.reply(), data); err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	return nil
}

// reply is where word about the last request comes. (Messages come with their own subjects.)
func (p *Pull) reply() string { return p.inbox + strconv.Itoa(p.asked) }

// Fetch takes messages. It ends early with ctx, or when the connection was lost or the server has fallen silent, with what
// has come and without an error; the error is ErrPullEnded when the server refuses.
func (p *Pull) Fetch(ctx context.Context, w Wanted) (batch []jetstream.Msg, err error) {
	for len(p.in) > 0 && len(batch) < w.Messages { // of requests that ended early
		if m := <-p.in; isMessage(m) {
			batch = append(batch, message{m})
		}
	}
	if len(batch) == w.Messages {
		return batch, nil
	}
	rest := w
	rest.Messages -= len(batch)
	if err := p.request(rest); err != nil {
		return batch, err
	}
	silence := time.NewTimer(pullSilence)
	defer silence.Stop()
	for len(batch) < w.Messages {
		select {
		case <-ctx.Done():
			return batch, nil
		case <-p.back:
			return batch, nil
		case <-silence.C:
			return batch, nil
		case m := <-p.in:
			if isMessage(m) {
				batch = append(batch, message{m})
			} else if m.Subject != p.reply() {
				break // it is about a request that has ended
			} else if ended, err := wordOf(m); ended {
				return batch, err
			}
		}
		silence.Reset(pullSilence)
	}
	return batch, nil
}

// wordOf tells whether the server says that a request has ended; with an error where another one would fare no better.
func wordOf(m *nats.Msg) (ended bool, err error) {
	status, about := m.Header.Get("Status"), strings.ToLower(m.Header.Get("Description"))
	switch {
	case status == "100": // it stands
		return false, nil
	case status == "404" || status == "408": // there is nothing, or its time is over
		return true, nil
	case status == "409" && (strings.Contains(about, "maxbytes") || strings.Contains(about, "batch completed")):
		return true, nil
	}
	return true, fmt.Errorf("%w: %s %s", ErrPullEnded, status, about)
}

// unserved is how many messages a request that has ended did not bring.
func unserved(m *nats.Msg) int {
	n, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
	if err != nil {
		return 0
	}
	return n
}
