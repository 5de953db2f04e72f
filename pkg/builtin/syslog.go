package builtin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/rfc3164"
	"github.com/leodido/go-syslog/v4/rfc5424"
	"golang.org/x/sync/errgroup"
)

type syslogConfig struct {
	UDP      string `json:"udp"`
	TCP      string `json:"tcp"`
	Severity string `json:"severity"`
	Timezone string `json:"timezone"`
}

// severities are the names of severities by their numbers.
var severities = []string{"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"}

// Bounds of what senders may do.
const (
	maxSyslog      = 64 << 10
	maxSyslogConns = 256
	syslogIdle     = 10 * time.Minute
)

// receiveSyslog reports syslog messages that come by UDP, or by TCP in either framing of RFC 6587.
func receiveSyslog(ctx context.Context, s *stage) error {
	c := syslogConfig{Severity: "debug", Timezone: "UTC"}
	if err := s.config(&c); err != nil {
		return err
	}
	r := &receiver{stage: s, least: slices.Index(severities, c.Severity), free: make(chan struct{}, maxSyslogConns)}
	var err error
	switch r.zone, err = time.LoadLocation(c.Timezone); {
	case c.UDP == "" && c.TCP == "":
		return wrong("udp or tcp is needed, such as 0.0.0.0:5514")
	case r.least < 0:
		return wrong("severity: %q is none of %s", c.Severity, strings.Join(severities, ", "))
	case err != nil:
		return wrong("timezone: %q is not known", c.Timezone)
	}
	g, ctx := errgroup.WithContext(ctx)
	if c.UDP != "" {
		packets, err := new(net.ListenConfig).ListenPacket(ctx, "udp", c.UDP)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		defer context.AfterFunc(ctx, func() { _ = packets.Close() })() // it ends the reading
		s.say("listening on udp %s", packets.LocalAddr())
		g.Go(func() error { return r.packets(ctx, packets) })
	}
	if c.TCP != "" {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.TCP)
		if err != nil {
			return errors.Join(fmt.Errorf("listen: %w", err))
		}
		defer context.AfterFunc(ctx, func() { _ = listener.Close() })() // it ends the accepting
		s.say("listening on tcp %s", listener.Addr())
		g.Go(func() error { return r.connections(ctx, listener) })
	}
	return g.Wait()
}

type receiver struct {
	*stage
	least int // the highest number of a severity that is reported
	zone  *time.Location
	free  chan struct{} // one token for each connection that is open
}

func (r *receiver) packets(ctx context.Context, packets net.PacketConn) error {
	defer packets.Close() //nolint:errcheck // nothing is lost with it
	buf := make([]byte, maxSyslog)
	for {
		n, from, err := packets.ReadFrom(buf)
		if err != nil {
			return ended(ctx, err)
		}
		if err := r.report(buf[:n], from); err != nil {
			return err
		}
	}
}

func (r *receiver) connections(ctx context.Context, l net.Listener) error {
	var open sync.WaitGroup
	defer open.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for {
		select {
		case r.free <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		conn, err := l.Accept()
		if err != nil {
			return ended(ctx, err)
		}
		open.Go(func() {
			defer func() { <-r.free }()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // it ends the reading
			defer conn.Close()                                          //nolint:errcheck // it was only read
			if err := r.connection(conn); err != nil {
				cancel(err)
			}
		})
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("receive: %w", err)
}

// connection reads messages until the sender ends, or sends what is none. Its error is that of reporting.
func (r *receiver) connection(conn net.Conn) error {
	in := bufio.NewReaderSize(conn, maxSyslog)
	for {
		if conn.SetReadDeadline(time.Now().Add(syslogIdle)) != nil {
			return nil // it was closed
		}
		message, err := frame(in)
		if len(message) > 0 {
			if err := r.report(message, conn.RemoteAddr()); err != nil {
				return err
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				r.say("connection of %s ended: %v", conn.RemoteAddr(), err)
			}
			return nil
		}
	}
}

// errFrame is returned when a stream is no syslog.
var errFrame = errors.New("not a framed syslog message")

// frame reads one message: "LENGTH MESSAGE", or up to the end of the line.
func frame(in *bufio.Reader) ([]byte, error) {
	first, err := in.Peek(1)
	if err != nil {
		return nil, err
	}
	if first[0] < '1' || first[0] > '9' {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("a line is longer than %d bytes: %w", maxSyslog, errFrame)
		}
		return bytes.Trim(line, "\r\n\x00"), err
	}
	head, err := in.ReadSlice(' ')
	if err != nil {
		return nil, fmt.Errorf("length of a message: %w", err)
	}
	length, err := strconv.Atoi(strings.TrimSuffix(string(head), " "))
	if err != nil || length > maxSyslog {
		return nil, fmt.Errorf("length %.20q: at most %d: %w", head, maxSyslog, errFrame)
	}
	message := make([]byte, length)
	_, err = io.ReadFull(in, message)
	return message, err
}

func (r *receiver) report(text []byte, from net.Addr) error {
	text = bytes.TrimRight(text, "\r\n\x00")
	if len(text) == 0 {
		return nil
	}
	payload, severity, at := r.parse(text)
	if severity > r.least {
		return nil
	}
	payload["source"] = from.String()
	return r.emit(found{Trigger: "message", Payload: payload, Time: at})
}

// parse reads a message in either format. What is in neither is reported as it is.
func (r *receiver) parse(text []byte) (payload map[string]any, severity int, at *time.Time) {
	parser, format := rfc3164.NewParser(rfc3164.WithBestEffort(), rfc3164.WithYear(rfc3164.CurrentYear{}), rfc3164.WithLocaleTimezone(r.zone)), "rfc3164"
	if _, rest, ok := bytes.Cut(text, []byte(">")); ok && bytes.HasPrefix(rest, []byte("1 ")) {
		parser, format = rfc5424.NewParser(rfc5424.WithBestEffort()), "rfc5424"
	}
	m, _ := parser.Parse(text) // what it could read before a fault is of use
	payload = map[string]any{"format": "unknown", "message": strings.ToValidUTF8(string(text), "\uFFFD")}
	var base *syslog.Base
	switch m := m.(type) {
	case *rfc5424.SyslogMessage:
		if base = &m.Base; m.StructuredData != nil {
			payload["structured_data"] = *m.StructuredData
		}
	case *rfc3164.SyslogMessage:
		base = &m.Base
	}
	if base == nil || base.Severity == nil {
		return payload, 0, nil
	}
	payload["format"] = format
	return payload, int(*base.Severity), describe(payload, base)
}

// describe adds what a message says of itself.
func describe(payload map[string]any, b *syslog.Base) *time.Time {
	payload["severity"] = severities[*b.Severity]
	payload["severity_number"] = *b.Severity
	if b.Facility != nil {
		payload["facility"] = *b.Facility
	}
	for name, text := range map[string]*string{"hostname": b.Hostname, "app": b.Appname, "process": b.ProcID, "message_id": b.MsgID, "message": b.Message} {
		if text != nil {
			payload[name] = strings.ToValidUTF8(*text, "\uFFFD")
		}
	}
	if b.Timestamp == nil {
		return nil
	}
	at := b.Timestamp.UTC()
	payload["timestamp"] = at
	return &at
}
