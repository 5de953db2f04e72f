package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/attune/attune/pkg/api"
)

// Sensors lists the sensors of a pack, or of all when pack is empty.
func (c *Client) Sensors(ctx context.Context, pack string, limit int) ([]api.Sensor, bool, error) {
	return list[api.Sensor](ctx, c, path("sensors"), Filter{"pack": pack}, limit)
}

// Sensor shows a sensor.
func (c *Client) Sensor(ctx context.Context, ref string) (api.Sensor, error) {
	return get[api.Sensor](ctx, c, path("sensors", ref), nil)
}

// RestartSensor has a sensor started again.
func (c *Client) RestartSensor(ctx context.Context, ref string) (api.Sensor, error) {
	return call[api.Sensor](ctx, c, request{method: http.MethodPost, path: path("sensors", ref, "restart"), safe: true})
}

// SensorLog says which lines of a sensor's log to read.
type SensorLog struct {
	Sensor string // "pack.name"
	Tail   int    // only the last so many lines; 0: all
	Since  string // only what was written since then: a time
	Grep   string // of these only lines that match
	Follow bool   // go on with the next start when one has ended, until ctx ends
}

// nextStart is how often a follower looks whether a sensor was started again.
const nextStart = time.Second

// SensorLog hands the records of the log of a sensor's last start to handle, in order. A broken connection is resumed
// behind the last of them. ErrStop of handle ends it without error.
func (c *Client) SensorLog(ctx context.Context, l SensorLog, handle func(api.LogRecord) error) error {
	at, enough := sensorPlace{SensorLog: l}, false
	each := func(r api.LogRecord) error {
		err := handle(r)
		enough = errors.Is(err, ErrStop)
		return err
	}
	for {
		if err := c.stream(ctx, at.feed(each)); err != nil || enough || !l.Follow {
			return err
		}
		if err := c.awaitNextStart(ctx, &at); err != nil {
			return err
		}
	}
}

// sensorPlace is which log a reader has come to.
type sensorPlace struct {
	SensorLog
	log string // of one start; "": the last one
}

// feed is the log of one start. Where it is resumed it is the same one, whatever was started meanwhile.
func (at *sensorPlace) feed(handle func(api.LogRecord) error) feed {
	q := at.query()
	return feed{
		path: path("sensors", at.Sensor, "logs"), query: q, handle: eachRecord("sensor "+at.Sensor, handle),
		answered: func(h http.Header) {
			if at.log = h.Get(api.HeaderLog); at.log != "" {
				q.Set("log", at.log)
			}
		},
	}
}

func (at *sensorPlace) query() url.Values {
	q := Filter{"since": at.Since, "grep": at.Grep, "log": at.log}.query()
	if at.Follow {
		q.Set("follow", "true")
	}
	if at.Tail > 0 {
		q.Set("tail", strconv.Itoa(at.Tail))
	}
	return q
}

// awaitNextStart moves on to the log behind the one that was read.
func (c *Client) awaitNextStart(ctx context.Context, at *sensorPlace) error {
	tick := time.NewTicker(nextStart)
	defer tick.Stop()
	for {
		x, err := c.Sensor(ctx, at.Sensor)
		if err != nil {
			return err
		}
		if next := x.Log; next != "" && next != at.log {
			if i := slices.Index(x.Logs, at.log); i > 0 {
				next = x.Logs[i-1]
			}
			at.log, at.Tail, at.Since = next, 0, "" // of what comes after, all is wanted
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
