package client

import (
	"context"
	"io"
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

// SensorLog says which part of a sensor's log to read.
type SensorLog struct {
	Sensor string // "pack.name"
	Tail   int    // only the last so many lines; 0: all
	Since  string // only what was written since then: a time
	Follow bool   // go on with the next start when one has ended, until ctx ends
}

// nextStart is how often a follower looks whether a sensor was started again.
const nextStart = time.Second

// SensorLogs copies the log of a sensor's last start to w. A broken connection is resumed.
func (c *Client) SensorLogs(ctx context.Context, l SensorLog, w io.Writer) error {
	at := sensorPlace{SensorLog: l}
	for {
		err := c.resume(ctx, func() (bool, error) { return c.sensorLogOnce(ctx, &at, w) })
		if err != nil || !l.Follow {
			return err
		}
		if err := c.awaitNextStart(ctx, &at); err != nil {
			return err
		}
	}
}

// sensorPlace is how far a reader has come.
type sensorPlace struct {
	SensorLog
	log    string
	offset int64
}

func (c *Client) sensorLogOnce(ctx context.Context, at *sensorPlace, w io.Writer) (connected bool, err error) {
	resp, err := c.once(ctx, at.request())
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if n, err := strconv.ParseInt(resp.Header.Get(api.HeaderOffset), 10, 64); err == nil {
		at.offset = n
	}
	at.log, at.Tail, at.Since = resp.Header.Get(api.HeaderLog), 0, "" // from here on the offset is known
	n, err := copyTo(w, resp.Body)
	at.offset += n
	if err == nil {
		err = ErrStop
	}
	return true, err
}

func (at *sensorPlace) request() request {
	q := url.Values{}
	if at.Follow {
		q.Set("follow", "true")
	}
	if at.Tail > 0 {
		q.Set("tail", strconv.Itoa(at.Tail))
	}
	if at.Since != "" {
		q.Set("since", at.Since)
	}
	if at.log != "" {
		q.Set("log", at.log)
		q.Set("offset", strconv.FormatInt(at.offset, 10))
	}
	return request{method: http.MethodGet, path: path("sensors", at.Sensor, "logs"), query: q}
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
			at.log, at.offset = next, 0
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
