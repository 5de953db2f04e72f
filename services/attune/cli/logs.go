package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/attune/attune/pkg/api"
	"github.com/attune/attune/pkg/client"
)

// Streams of an execution's output.
const (
	streamStdout = "stdout"
	streamStderr = "stderr"
)

// logsFlags are what a person says of the lines that are wanted.
type logsFlags struct {
	client.LogLines
	timestamps bool
}

// logsCommand is the short form of execution logs; path is how it is called.
func logsCommand(a *app, path string) *cobra.Command {
	var f logsFlags
	c := command("logs ID [-f] [--stream stdout|stderr] [--tail N] [--since TIME] [--grep RE]", "Print the output of an execution",
		path+" -f 0199f3a0-7d1c-7000-8000-000000000001\n"+path+" 0199f3a0-7d1c-7000-8000-000000000001 --stream stderr --tail 20\n"+
			path+" 0199f3a0-7d1c-7000-8000-000000000001 --since 10m --grep 'ERROR|WARN' --timestamps",
		cobra.ExactArgs(1), a.do(func(ctx context.Context, s *session, args []string) error {
			f.Execution = args[0]
			return f.print(ctx, s)
		}))
	c.Long = `Print the output of an execution as it was written: its stdout on stdout and its stderr on stderr, or one of them on
stdout. With -f it goes on until the execution has ended, and resumes by itself after a broken connection.

--tail counts the lines of both streams together, and --grep chooses among the lines that are left by --tail and --since.
--output jsonl prints a record for each line: its stream, offset, time and text, or data in base64 where it is not UTF-8.`
	flags := c.Flags()
	flags.BoolVarP(&f.Follow, "follow", "f", false, "go on until the execution has ended")
	flags.StringVar(&f.Stream, "stream", "", "only stdout or stderr")
	lineFlags(c, &f.Tail, &f.Since, &f.Grep, &f.timestamps)
	flags.Int64Var(&f.Offset, "offset", 0, "begin at this byte; needs --stream")
	c.PreRunE = func(c *cobra.Command, _ []string) error { return f.check(c, a.output) }
	must(c.RegisterFlagCompletionFunc("stream", cobra.FixedCompletions([]string{streamStdout, streamStderr}, cobra.ShellCompDirectiveNoFileComp)))
	must(c.RegisterFlagCompletionFunc("offset", cobra.NoFileCompletions))
	return completing(c, a.complete(executionIDs))
}

// lineFlags are those that choose lines of any log.
func lineFlags(c *cobra.Command, tail *int, since, grep *string, timestamps *bool) {
	flags := c.Flags()
	flags.IntVar(tail, "tail", 0, "only the last N lines")
	flags.StringVar(since, "since", "", "only from then on: a time (2026-01-31T12:00:00Z) or how long ago (90s, 1h, 7d)")
	flags.StringVar(grep, "grep", "", "only lines that match this expression (RE2)")
	flags.BoolVar(timestamps, "timestamps", false, "print before each line when it was written")
	for _, name := range []string{"since", "grep", "tail"} {
		must(c.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions))
	}
}

// checkLines checks what was said with lineFlags.
func checkLines(c *cobra.Command, tail int, grep, format string) error {
	switch {
	case tail < 0:
		return usageError(c, fmt.Errorf("--tail %d: want a number that is not negative", tail))
	case format == formatJSON || format == formatYAML:
		return usageError(c, fmt.Errorf("--output %s: logs are printed as text, or as records with jsonl", format))
	}
	if _, err := regexp.Compile(grep); err != nil {
		return usageError(c, fmt.Errorf("--grep: %w", err))
	}
	return nil
}

func (f *logsFlags) check(c *cobra.Command, format string) error {
	switch {
	case f.Stream != "" && f.Stream != streamStdout && f.Stream != streamStderr:
		return usageError(c, fmt.Errorf("--stream %q: want stdout or stderr", f.Stream))
	case f.Offset < 0:
		return usageError(c, fmt.Errorf("--offset %d: want a number that is not negative", f.Offset))
	case f.Offset > 0 && f.Stream == "":
		return usageError(c, errors.New("--offset needs --stream: each stream has offsets of its own"))
	case f.Offset > 0 && f.Tail > 0:
		return usageError(c, errors.New("--offset and --tail exclude each other"))
	}
	return checkLines(c, f.Tail, f.Grep, format)
}

func (f *logsFlags) print(ctx context.Context, s *session) (err error) {
	l := f.LogLines
	if l.Since, err = moment("since", f.Since, s.now); err != nil {
		return err
	}
	stderr := s.errw
	if l.Stream != "" {
		stderr = s.out
	}
	err = s.api.LogLines(ctx, l, s.printLines(stderr, f.timestamps))
	if errors.Is(err, os.ErrClosed) || ctx.Err() == nil {
		return err
	}
	return WithExit(hinted(errors.New("stopped following"), "follow it again: attune logs -f "+l.Execution), ExitInterrupted)
}

// printLines gives what prints the records of a log, for people or as data.
func (s *session) printLines(stderr io.Writer, timestamps bool) func(api.LogRecord) error {
	if s.format == formatJSONL {
		return func(r api.LogRecord) error { return s.jsonLine(r) }
	}
	to := printer{stdout: s.out, stderr: stderr, timestamps: timestamps, inLine: map[string]bool{}}
	return to.record
}

// followLogs copies both streams while an execution runs, each to its own.
func followLogs(ctx context.Context, s *session, id string, stdout io.Writer) error {
	to := printer{stdout: stdout, stderr: s.errw, inLine: map[string]bool{}}
	return s.api.LogLines(ctx, client.LogLines{Execution: id, Follow: true}, to.record)
}

// printer prints the records of a log for people.
type printer struct {
	stdout, stderr io.Writer
	timestamps     bool
	inLine         map[string]bool // by stream: the line that was printed last goes on
}

func (p *printer) record(r api.LogRecord) error {
	out := p.stdout
	if r.Stream == streamStderr {
		out = p.stderr
	}
	text := r.Bytes()
	if r.Missing > 0 {
		text = fmt.Appendf(nil, "[attune: bytes %d to %d of %s are missing]\n", r.Offset, r.Next()-1, r.Stream)
	}
	if p.timestamps && !p.inLine[r.Stream] {
		text = append(r.Time.UTC().AppendFormat(nil, timestampFormat), text...)
	}
	p.inLine[r.Stream] = !bytes.HasSuffix(text, []byte{'\n'})
	if _, err := out.Write(text); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// timestampFormat has the same width for all times.
const timestampFormat = "2006-01-02T15:04:05.000000Z "
