package forward_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/pkg/execution"
	"github.com/attune/attune/pkg/forward"
	"github.com/attune/attune/pkg/logs"
	"github.com/attune/attune/pkg/natsserver/natstest"
	"github.com/attune/attune/streams"
)

// BenchmarkExecutions forwards executions that have printed one line each, which is what forwarding costs most for.
func BenchmarkExecutions(b *testing.B) {
	for name, of := range map[string]string{"of-an-action": "shop.deploy", "of-a-version-before": ""} {
		b.Run(name, func(b *testing.B) { forwardExecutions(b, of) })
	}
}

// fill publishes the output of as many executions as are benchmarked.
func fill(b *testing.B, conn *bus.Bus, action string) {
	b.Helper()
	var acks []jetstream.PubAckFuture
	for range b.N {
		subject, err := streams.LogSubject(execution.NewID(), logs.Stdout)
		if err != nil {
			b.Fatal(err)
		}
		m := nats.NewMsg(subject)
		m.Data = []byte("hello, this is one line of a log\n")
		m.Header.Set(streams.HeaderOffset, "0")
		m.Header.Set(streams.HeaderTime, time.Now().UTC().Format(time.RFC3339Nano))
		m.Header.Set(streams.HeaderEnd, "true")
		if action != "" {
			m.Header.Set(streams.HeaderAction, action)
		}
		ack, err := conn.JS.PublishMsgAsync(m)
		if err != nil {
			b.Fatal(err)
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			b.Fatal(err)
		}
	}
}

func forwardExecutions(b *testing.B, action string) {
	b.Helper()
	conn := natstest.New(b)
	fill(b, conn, action)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			b.Error(err)
		}
	}))
	defer server.Close()
	f := &fixture{metrics: prometheus.NewRegistry()}
	fw, err := forward.New(forward.Config{Bus: conn, Destination: forward.Destination{Target: "otlp+" + server.URL, Headers: "Authorization=Bearer%20x"}, Registerer: f.metrics})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	b.ResetTimer()
	go func() { done <- fw.Run(ctx) }()
	eventually(b, "all is forwarded", func() bool { return f.metric(b, "records_total") >= float64(b.N) })
	b.StopTimer()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		b.Error(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "executions/s")
}
