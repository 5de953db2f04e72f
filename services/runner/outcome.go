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
	return outcome{status: streams.Failed, err: &streams.Error{Class: classOf(err), Message: a.hide.String(err.Error())}}
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
func (a *attempt) outcome(e ended, err error, captured *capture) outcome {
	if err != nil {
		if _, ok := errors.AsType[*process.SpawnError](err); !ok {
			err = &internalError{err}
		}
		return a.failure(err)
	}
	o := outcome{exitCode: &e.ExitCode}
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
	case e.excess != nil && !e.lost && (!e.Canceled || errors.Is(e.cause, e.excess)):
		return streams.Failed, &streams.Error{Class: streams.ClassOutputLimit, Message: e.excess.Error() + "; its action fails then (truncate_on_exceed)" + howKilled(e)}
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
		o.status, o.err = streams.Failed, &streams.Error{Class: streams.ClassBadResult, Message: "result: " + a.hide.String(err.Error())}
	}
}

// result reads what the program gave: the result file, else the standard output where the action says so.
func (a *attempt) result(captured *capture) (json.RawMessage, error) {
	raw, err := readResult(a.seat.resultFile(), a.user)
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

// errHidden is returned when what is wrong with a result can only be said with the secrets that it holds.
var errHidden = errors.New("what is wrong cannot be shown, because secrets are part of it")

// parseResult reads a result strictly and gives it in the form in which everybody can store it, without secrets. An
// error is about the result without secrets, too: it may quote a part of one that nobody would find any more.
func (a *attempt) parseResult(raw []byte) (json.RawMessage, error) {
	if complaint, ok := bytes.CutPrefix(raw, []byte("!")); ok {
		return nil, fmt.Errorf("the function returned what is not JSON: %.200s", a.hide.String(string(complaint)))
	}
	value, err := strictjson.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("not acceptable JSON: %w", a.unreadable(raw, err))
	}
	value, _ = strictjson.Storable(value)
	text, err := encode(value)
	if err != nil {
		return nil, err
	}
	shown, masked := a.hide.JSON(text)
	if err := a.checkResult(value); err != nil {
		if masked {
			return nil, a.unfit(shown)
		}
		return nil, err
	}
	return shown, nil
}

// unreadable gives the error of reading a result without its secrets.
func (a *attempt) unreadable(raw []byte, err error) error {
	text := string(raw)
	if !a.hide.Hides(text) {
		return err
	}
	if _, err := strictjson.Parse([]byte(a.hide.String(text))); err != nil {
		return err
	}
	return errHidden
}

// unfit gives the error of checking a result without its secrets.
func (a *attempt) unfit(shown json.RawMessage) error {
	value, err := strictjson.Parse(shown)
	if err == nil {
		err = a.checkResult(value)
	}
	if err == nil {
		err = fmt.Errorf("does not fit output_schema: %w", errHidden)
	}
	return err
}

func encode(value any) ([]byte, error) {
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
func readResult(file string, user uint32) ([]byte, error) {
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
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || !ownedBy(info, user) {
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

// ownedBy tells whether a file is the user's, where there is one: what a program could link to without being able to
// read it is no result.
func ownedBy(info os.FileInfo, user uint32) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return user == 0 || ok && st.Uid == user
}

// emptyIsNone takes a file that was made and never written to for no result.
func emptyIsNone(raw []byte) []byte {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	return raw
}
