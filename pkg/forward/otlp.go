package forward

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// maxRequestBytes bounds the text in one request.
	maxRequestBytes = 1 << 20
	// requestTimeout bounds one request.
	requestTimeout = 30 * time.Second
	// maxAnswer is how much of an answer is read.
	maxAnswer = 64 << 10
)

// receiver sends records to a receiver of OpenTelemetry logs, over HTTP in protobuf.
type receiver struct {
	endpoint string
	headers  func() (http.Header, error) // that it asks for
	client   *http.Client
}

func newReceiver(t target, headers func() (http.Header, error), secure *tls.Config) *receiver {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
		TLSClientConfig: secure,
	}
	return &receiver{endpoint: t.endpoint, headers: headers, client: &http.Client{
		Transport: transport, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // it would take credentials along
	}}
}

func (r *receiver) Close() error {
	r.client.CloseIdleConnections()
	return nil
}

// Send sends the first records, as many as go into one request. Where the receiver says that a request is wrong by
// itself, it is halved until the record is found that it will never take.
func (r *receiver) Send(ctx context.Context, records []Record) (Outcome, error) {
	size, n := 0, 0
	for n < len(records) && (n == 0 || size+len(records[n].Text) <= maxRequestBytes) {
		size += len(records[n].Text)
		n++
	}
	for {
		refused, err := r.post(ctx, records[:n])
		var bad badRequestError
		switch {
		case err == nil:
			return Outcome{Taken: n, Refused: refused}, nil
		case !errors.As(err, &bad):
			return Outcome{}, err
		case n == 1:
			return Outcome{Taken: 1, Refused: 1}, nil
		}
		n /= 2
	}
}

// badRequestError is the answer to a request that will never be taken as it is.
type badRequestError struct{ status string }

func (e badRequestError) Error() string { return "the receiver answers " + e.status }

// busyError is the answer of a receiver that wants to be left alone for some time.
type busyError struct {
	status string
	after  time.Duration
}

func (e busyError) Error() string { return "the receiver answers " + e.status }

// errDenied is returned when the receiver wants credentials, or others. They may be renewed, so lines wait for it.
var errDenied = errors.New("it does not accept the credentials")

// post sends one request and gives how many of its records the receiver refused.
func (r *receiver) post(ctx context.Context, records []Record) (refused int, err error) {
	body, err := proto.Marshal(encode(records, time.Now()))
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if req.Header, err = r.headers(); err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "attune")
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err // without a password: net/http leaves it out
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusRequestEntityTooLarge:
		return 0, badRequestError{shown(resp)}
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return 0, refusal(resp)
	case err != nil:
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	return min(rejected(answer), len(records)), nil
}

// refusal is the error of an answer that may be another one later.
func refusal(resp *http.Response) error {
	busy := busyError{status: shown(resp), after: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%w: %w", busy, errDenied)
	}
	return busy
}

// shown is the status of an answer in our words: the receiver's may repeat what it was sent.
func shown(resp *http.Response) string {
	return strings.TrimSpace(strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode))
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// encode makes the request. ExportLogsServiceRequest has the same fields as LogsData, as the protocol promises; its own
// package would bring gRPC along.
func encode(records []Record, now time.Time) *logspb.LogsData {
	all := make([]*logspb.LogRecord, 0, len(records))
	for _, r := range records {
		record := &logspb.LogRecord{
			ObservedTimeUnixNano: uint64(now.UnixNano()), Body: body(r.Text),
			Attributes: []*common.KeyValue{text("attune."+r.idKey(), r.Log), text("log.iostream", r.Stream), {
				Key: "attune.offset", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: r.Offset}},
			}},
		}
		if !r.Time.IsZero() {
			record.TimeUnixNano = uint64(r.Time.UnixNano())
		}
		if r.Of.name != "" {
			record.Attributes = append(record.Attributes, text("attune."+r.Of.key, r.Of.name))
		}
		if r.Partial {
			record.Attributes = append(record.Attributes, &common.KeyValue{Key: "attune.partial", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}})
		}
		all = append(all, record)
	}
	return &logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{
		Resource:  &resource.Resource{Attributes: []*common.KeyValue{text("service.name", "attune")}},
		ScopeLogs: []*logspb.ScopeLogs{{Scope: &common.InstrumentationScope{Name: "attune/logs"}, LogRecords: all}},
	}}}
}

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

// body is a string, or bytes where that is not UTF-8.
func body(b []byte) *common.AnyValue {
	if utf8.Valid(b) {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: string(b)}}
	}
	return &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: b}}
}

// rejected reads how many records the receiver refused, from ExportLogsServiceResponse.partial_success (1)
// .rejected_log_records (1). What is no such answer refuses nothing.
func rejected(answer []byte) int {
	partial, ok := field(answer, 1, protowire.BytesType)
	if !ok {
		return 0
	}
	inner, n := protowire.ConsumeBytes(partial)
	if n < 0 {
		return 0
	}
	count, ok := field(inner, 1, protowire.VarintType)
	if !ok {
		return 0
	}
	v, n := protowire.ConsumeVarint(count)
	if n < 0 || int64(v) < 0 {
		return 0
	}
	return int(v)
}

// field gives the message from the value of a field on.
func field(b []byte, number protowire.Number, kind protowire.Type) ([]byte, bool) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, false
		}
		b = b[n:]
		if num == number && typ == kind {
			return b, true
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return nil, false
		}
		b = b[n:]
	}
	return nil, false
}
