package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

// MaxResult is the most that a result may take, in bytes.
const MaxResult = 1 << 20

var (
	// errNotResult is returned when a result file is not a plain file.
	errNotResult = errors.New("the result file is not a plain file")
	// errTooLarge is returned when a result is larger than MaxResult.
	errTooLarge = fmt.Errorf("larger than %d bytes", MaxResult)
)

// outcome is how an execution ended.
type outcome struct {
	status   streams.Status
	exitCode *int
	signal   string
	result   json.RawMessage
	err      *streams.Error
	output   *streams.Output
}

// failure is the outcome of an execution whose process was never started.
func (a *attempt) failure(err error) outcome {
	return outcome{status: streams.Failed, err: &streams.Error{Class: classOf(err), Message: err.Error()}}
}

func classOf(err error) string {
	var (
		spawn    *process.SpawnError
		start    *startError
		secrets  *secretsError
		internal *internalError
	)
	switch {
	case errors.As(err, &spawn), errors.As(err, &start), errors.Is(err, runtime.ErrEntryPoint):
		return streams.ClassSpawnFailed
	case errors.As(err, &secrets):
		return streams.ClassSecretsUnavailable
	case errors.As(err, &internal):
		return streams.ClassInternal
	}
	return streams.ClassPackUnavailable
}

// outcome judges an ended process.
func (a *attempt) outcome(e ended, err error, captured *capture, output *streams.Output) outcome {
	if err != nil {
		if _, ok := errors.AsType[*process.SpawnError](err); !ok {
			err = &internalError{err}
		}
		o := a.failure(err)
		o.output = output
		return o
	}
	output.Held = e.Held
	o := outcome{output: output, exitCode: &e.ExitCode}
	if e.Signal != 0 {
		o.signal = signalName(e.Signal)
	}
	o.status, o.err = a.verdict(e)
	a.addResult(&o, captured)
	return o
}

// verdict tells the status that the process's end means, before its result is looked at.
func (a *attempt) verdict(e ended) (streams.Status, *streams.Error) {
	switch {
	case e.TimedOut:
		return streams.TimedOut, &streams.Error{Class: streams.ClassTimeout, Message: "ran longer than " + a.timeout().String() + howKilled(e)}
	case e.Canceled && errors.Is(e.cause, errCanceled):
		return streams.Canceled, &streams.Error{Class: streams.ClassCanceled, Message: "canceled while it ran" + howKilled(e)}
	case e.Canceled && e.lost:
		return streams.Lost, &streams.Error{Class: streams.ClassRunnerLost, Message: "its runner lost the connection for too long and killed it"}
	case e.Canceled:
		return streams.Lost, &streams.Error{Class: streams.ClassRunnerLost, Message: "its runner stopped and could not wait longer"}
	case e.Signal != 0:
		return streams.Failed, &streams.Error{Class: streams.ClassSignal, Message: "ended by signal " + signalName(e.Signal)}
	case e.ExitCode != 0:
		return streams.Failed, &streams.Error{Class: streams.ClassExitStatus, Message: fmt.Sprintf("exit status %d", e.ExitCode)}
	}
	return streams.Succeeded, nil
}

func howKilled(e ended) string {
	if e.Killed {
		return "; it did not end when asked and was killed"
	}
	return ""
}

func (a *attempt) timeout() time.Duration {
	if a.program.Timeout == 0 {
		return pack.DefaultTimeout
	}
	return time.Duration(a.program.Timeout)
}

func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}

// addResult adds the result. One that is not acceptable fails an execution that would have succeeded; of
// others it is dropped.
func (a *attempt) addResult(o *outcome, captured *capture) {
	result, err := a.result(captured)
	switch {
	case err == nil:
		o.result = result
	case o.status == streams.Succeeded:
		o.status, o.err = streams.Failed, &streams.Error{Class: streams.ClassBadResult, Message: "result: " + err.Error()}
	}
}

// result reads what the program gave: the result file, else the standard output where the action says so.
func (a *attempt) result(captured *capture) (json.RawMessage, error) {
	raw, err := readResult(a.seat.resultFile())
	if err == nil && raw == nil && a.program.Output == pack.OutputJSON {
		raw, err = captured.text()
	}
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return nil, a.checkResult(nil)
	}
	return a.parseResult(raw)
}

// parseResult reads a result strictly and gives it in the form in which everybody can store it.
func (a *attempt) parseResult(raw []byte) (json.RawMessage, error) {
	if complaint, ok := bytes.CutPrefix(raw, []byte("!")); ok {
		return nil, fmt.Errorf("the function returned what is not JSON: %.200s", complaint)
	}
	value, err := strictjson.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("not acceptable JSON: %w", err)
	}
	value, _ = strictjson.Storable(value)
	if err := a.checkResult(value); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func (a *attempt) checkResult(value any) error {
	if len(a.program.OutputSchema) == 0 {
		return nil
	}
	if err := a.program.result.Validate(value); err != nil {
		return fmt.Errorf("does not fit output_schema: %w", err)
	}
	return nil
}

// readResult reads a result file, which the program may have replaced by anything. Without one it gives nil.
func readResult(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) //nolint:gosec // its own name
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, syscall.ELOOP) {
		return nil, errNotResult
	}
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(errNotResult, err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, MaxResult+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if len(raw) > MaxResult {
		return nil, errTooLarge
	}
	return emptyIsNone(raw), nil
}

// emptyIsNone takes a file that was made and never written to for no result.
func emptyIsNone(raw []byte) []byte {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	return raw
}

// capture passes output on and keeps as much of it as may be a result.
type capture struct {
	to   io.Writer
	kept bytes.Buffer
	over bool
}

// Write never fails before its target does.
func (c *capture) Write(p []byte) (int, error) {
	if c.kept.Len()+len(p) > MaxResult {
		c.over = true
	} else if !c.over {
		c.kept.Write(p)
	}
	return c.to.Write(p)
}

func (c *capture) text() ([]byte, error) {
	if c.over {
		return nil, errTooLarge
	}
	if raw := emptyIsNone(c.kept.Bytes()); raw != nil {
		return raw, nil
	}
	return nil, errNoOutput
}

var errNoOutput = errors.New("the action promised JSON on standard output, and wrote nothing")
