package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/services/attune/bench/scale"
)

// bareSubject is that of the messages of the loop.
const bareSubject = "bare.work"

// bareBus is what somebody would write who needs a durable queue of programs to start and nothing else: a NATS server
// in a process of its own, a work queue on it, and a loop that takes a message, starts the program, waits for it, and
// acknowledges the message.
type bareBus struct {
	server *scale.Server
	bus    *bus.Bus
	queue  jetstream.Consumer
}

func startBareBus(ctx context.Context, dir, sync string) (*bareBus, error) {
	server, err := scale.StartServer(ctx, dir, sync)
	if err != nil {
		return nil, err
	}
	b := &bareBus{server: server}
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

func (b *bareBus) open(ctx context.Context) (err error) {
	if b.bus, err = bus.Connect(ctx, bus.Config{URL: b.server.URL(), Name: "bare", FailFast: true}); err != nil {
		return err
	}
	stream, err := b.bus.JS.CreateStream(ctx, jetstream.StreamConfig{
		Name: "BARE", Subjects: []string{bareSubject}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage,
	})
	if err != nil {
		return err
	}
	b.queue, err = stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "bare", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	return err
}

func (b *bareBus) stop() error {
	if b.bus != nil {
		b.bus.Close()
	}
	return b.server.Stop()
}

// forkExec publishes n messages at once and has as many workers as there are processors do their work.
func (b *bareBus) forkExec(ctx context.Context, program string, n int) (bareOutcome, error) {
	ctx, cancel := context.WithTimeout(ctx, max(burstPatience, time.Duration(n)*perExecution))
	defer cancel()
	before, began := ownUsage()+b.server.CPU(), time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.publish(ctx, n) })
	work := make(chan jetstream.Msg, n)
	taken, err := b.queue.Consume(func(m jetstream.Msg) { work <- m })
	if err != nil {
		return bareOutcome{}, err
	}
	defer taken.Stop()
	var done atomic.Int64
	for range runtime.NumCPU() {
		g.Go(func() error {
			for done.Add(1) <= int64(n) {
				if err := workOff(ctx, work, program); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return bareOutcome{}, fmt.Errorf("bare loop on JetStream: %w", err)
	}
	return bareOutcome{rate: float64(n) / time.Since(began).Seconds(), cost: ownUsage() + b.server.CPU() - before}, nil
}

// bareOutstanding is how many messages are published and not stored at most. The client gives up at 4,000.
const bareOutstanding = 1000

func (b *bareBus) publish(ctx context.Context, n int) error {
	var outstanding []jetstream.PubAckFuture
	for range n {
		if len(outstanding) == bareOutstanding {
			if err := awaitStored(ctx, outstanding[0]); err != nil {
				return err
			}
			outstanding = outstanding[1:]
		}
		one, err := b.bus.JS.PublishAsync(bareSubject, []byte(`{}`))
		if err != nil {
			return err
		}
		outstanding = append(outstanding, one)
	}
	for _, one := range outstanding {
		if err := awaitStored(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

func awaitStored(ctx context.Context, one jetstream.PubAckFuture) error {
	select {
	case <-one.Ok():
		return nil
	case err := <-one.Err():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// workOff does the work of one message.
func workOff(ctx context.Context, work <-chan jetstream.Msg, program string) error {
	select {
	case m := <-work:
		if err := exec.Command(program).Run(); err != nil {
			return err
		}
		return m.Ack()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// follow has one worker start the program for each message from now on.
func (b *bareBus) follow(program string) (stop func(), err error) {
	taken, err := b.queue.Consume(func(m jetstream.Msg) {
		if exec.Command(program).Run() == nil {
			_ = m.Ack() // it was measured when the program began
		}
	})
	if err != nil {
		return nil, err
	}
	return taken.Stop, nil
}

// ask publishes one message.
func (b *bareBus) ask(ctx context.Context) error {
	_, err := b.bus.JS.Publish(ctx, bareSubject, []byte(`{}`))
	return err
}
