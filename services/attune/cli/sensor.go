package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

func sensorCommand(a *app) *cobra.Command {
	return group("sensor", "Sensors: processes that publish events", "attune sensor list",
		inPack(a, "list", "List sensors, with what they do", "attune sensor list", "sensors", (*client.Client).Sensors, sensorColumns),
		completing(command("show PACK.SENSOR", "Show a sensor, with what it does", "attune sensor show disk.watch",
			cobra.ExactArgs(1), one(a, (*client.Client).Sensor, showSensor)), a.complete(sensorNames)),
		sensorLogsCommand(a),
		completing(command("restart PACK.SENSOR", "Start a sensor again", "attune sensor restart disk.watch",
			cobra.ExactArgs(1), a.do(restartSensor)), a.complete(sensorNames)))
}

var sensorColumns = []column[api.Sensor]{
	{title: "SENSOR", cell: func(x api.Sensor) string { return x.Ref }},
	{title: "STATUS", cell: func(x api.Sensor) string { return string(x.Status) }, paint: paint.status},
	{title: "HOST", cell: func(x api.Sensor) string { return x.Host }},
	{title: "EVENTS", cell: func(x api.Sensor) string { return strconv.FormatInt(x.Events, 10) }, number: true},
	{title: "LAST EVENT", cell: func(x api.Sensor) string { return lastEvent(x.LastEventAt) }},
	{title: "RESTARTS", cell: func(x api.Sensor) string { return strconv.Itoa(x.Restarts) }, number: true},
	{title: "WHY", cell: func(x api.Sensor) string { return whySensor(x) }, flex: true},
}

// lastEvent says when the last event came, to the second.
func lastEvent(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

// whySensor says in a line why a sensor does not run.
func whySensor(x api.Sensor) string {
	if x.Error != "" {
		return x.Error
	}
	return x.Reason
}

func showSensor(s *sheet, x api.Sensor) {
	s.field("sensor", x.Ref)
	s.painted("status", string(x.Status), paint.status)
	s.field("reason", x.Reason)
	s.field("error", x.Error)
	s.field("description", x.Description)
	s.field("host", x.Host)
	if x.PID != 0 {
		s.field("pid", strconv.Itoa(x.PID))
	}
	s.time("started", x.StartedAt)
	s.time("retry at", x.RetryAt)
	s.field("restarts", strconv.Itoa(x.Restarts))
	s.field("events", strconv.FormatInt(x.Events, 10))
	s.time("last event", x.LastEventAt)
	if x.Rejected > 0 {
		s.field("rejected lines", fmt.Sprintf("%d; see: attune sensor logs %s", x.Rejected, x.Ref))
	}
	s.field("runtime", x.Runtime)
	s.field("entry point", x.EntryPoint)
	s.field("triggers", strings.Join(x.Triggers, ", "))
	s.field("secrets", strings.Join(x.Secrets, ", "))
	s.field("optional secrets", strings.Join(x.Optional, ", "))
	s.json("config", x.Config)
}

func restartSensor(ctx context.Context, s *session, args []string) error {
	x, err := s.api.RestartSensor(ctx, args[0])
	if err != nil {
		return err
	}
	s.note("sensor %s is started again; see: attune sensor show %s", x.Ref, x.Ref)
	return nil
}

func sensorLogsCommand(a *app) *cobra.Command {
	var l client.SensorLog
	var since string
	var timestamps bool
	c := command("logs PACK.SENSOR [-f] [--tail N] [--since TIME] [--grep RE]", "Print the log of a sensor",
		"attune sensor logs -f disk.watch --since 10m\nattune sensor logs disk.watch --grep 'ERROR|WARN' --timestamps",
		cobra.ExactArgs(1), a.do(func(ctx context.Context, s *session, args []string) (err error) {
			l.Sensor = args[0]
			if l.Since, err = moment("since", since, s.now); err != nil {
				return err
			}
			err = s.api.SensorLog(ctx, l, s.printLines(s.out, timestamps))
			if ctx.Err() == nil {
				return err
			}
			return WithExit(hinted(errors.New("stopped following"), "follow it again: attune sensor logs -f "+l.Sensor), ExitInterrupted)
		}))
	c.Long = `Print what a sensor wrote to its standard error output since its last start, and what Attune noted: lines that were
no events, and how it ended. With -f it goes on, with further starts too.

--grep chooses among the lines that are left by --tail and --since. --output jsonl prints a record for each line.`
	c.Flags().BoolVarP(&l.Follow, "follow", "f", false, "go on until interrupted")
	lineFlags(c, &l.Tail, &since, &l.Grep, &timestamps)
	c.PreRunE = func(c *cobra.Command, _ []string) error { return checkLines(c, l.Tail, l.Grep, a.output) }
	return completing(c, a.complete(sensorNames))
}
