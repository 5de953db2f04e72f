package packtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/mask"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/process"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

const (
	// maxOutput bounds what is kept of a stream, and maxResult a result, in bytes.
	maxOutput = 1 << 20
	maxResult = 1 << 20
	// caseTimeout is that of a case whose action names none.
	caseTimeout = time.Minute
	grace       = 2 * time.Second
	executionID = "00000000-0000-7000-8000-000000000000"
)

// ended is how an action ended.
type ended struct {
	status streams.Status
	class  string // of the error
	why    string
	code   int
}

// execute runs an action and compares what came of it. The error is what keeps it from being run.
func (t *tester) execute(ctx context.Context, tc pack.TestCase, r *Result) error {
	a := t.actions[tc.Action]
	parameters, hidden, err := t.parameters(ctx, a, tc)
	if err != nil {
		r.Status = pack.TestRefused
		compareEnd(tc.Expect, ended{status: pack.TestRefused, why: err.Error()}, r)
		return nil
	}
	if err := declared(a.spec, tc.Secrets); err != nil {
		return err
	}
	config, err := t.configured(tc.Config)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "attune-test-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // what remains is temporary
	if err := place(work, tc.Files); err != nil {
		return err
	}
	spec, err := t.spec(a.spec, tc, parameters, config, work)
	if err != nil {
		e := ended{status: streams.Failed, class: streams.ClassSpawnFailed, why: err.Error()}
		r.Status = string(e.status)
		compareEnd(tc.Expect, e, r)
		return nil
	}
	t.start(ctx, a, spec, mask.New(slices.AppendSeq(hidden, maps.Values(tc.Secrets))...), tc, r)
	return nil
}

// parameters gives what the program of an action is given, secrets in the clear, and what of it no output may show.
func (t *tester) parameters(ctx context.Context, a *action, tc pack.TestCase) (json.RawMessage, []string, error) {
	marked, values, err := a.ready.Split(tc.Parameters)
	if err != nil {
		return nil, nil, err
	}
	request, err := a.ready.Request(ctx, marked)
	if err != nil {
		return nil, nil, err
	}
	parameters, err := marker.Resolve(request.Parameters, values)
	return parameters, marker.Hidden(values), err
}

// declared compares the secrets that an action declares with those that a case has.
func declared(a pack.Action, given map[string]string) error {
	for name := range given {
		if !slices.ContainsFunc(a.Secrets, func(ref string) bool { return marker.Ref(ref).Name() == name }) {
			return fmt.Errorf("secrets: action %s does not declare %s, so it would not get it", a.Name, name)
		}
	}
	for _, ref := range a.Secrets {
		name := marker.Ref(ref).Name()
		if _, ok := given[name]; !ok {
			return fmt.Errorf("secrets: action %s declares %s, and the case has no value for it", a.Name, name)
		}
	}
	return nil
}

// place writes the files of a case into the working folder.
func place(work string, files map[string]string) error {
	for name, content := range files {
		file := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// input is what a program reads from its standard input.
type input struct {
	Execution  map[string]any    `json:"execution"`
	Parameters json.RawMessage   `json:"parameters"`
	Secrets    map[string]string `json:"secrets"`
	Config     json.RawMessage   `json:"config"`
}

func (t *tester) spec(a pack.Action, tc pack.TestCase, parameters, config json.RawMessage, work string) (process.Spec, error) {
	at, err := t.Location(a.Runtime)
	if err != nil {
		return process.Spec{}, err
	}
	command, err := t.Runtimes.Command(at, a)
	if err != nil {
		return process.Spec{}, err
	}
	ref := pack.Ref{Pack: t.pack.Name, Name: a.Name}.String()
	in := input{Parameters: parameters, Secrets: tc.Secrets, Config: config, Execution: map[string]any{
		"id": executionID, "action": ref, "attempt": 1, "pack": t.pack.Name, "requested_at": time.Now().UTC().Format(time.RFC3339),
	}}
	if in.Secrets == nil {
		in.Secrets = map[string]string{}
	}
	stdin, err := json.Marshal(in)
	if err != nil {
		return process.Spec{}, err
	}
	id := runtime.Identity{Execution: executionID, Action: ref, Attempt: 1, ResultFile: filepath.Join(work, "result.json"), WorkDir: work}
	p := t.Runtimes.Program(command, id)
	spec := process.Spec{
		Path: p.Path, Args: p.Args, Env: p.Env, Dir: work, Stdin: stdin, Grace: grace, Environ: runtime.EnvResultFile + "=" + id.ResultFile,
	}
	if command.Variables {
		spec.Extra, err = variables(parameters, in.Secrets)
	}
	spec.Timeout = time.Duration(tc.Timeout)
	if spec.Timeout == 0 {
		spec.Timeout = time.Duration(a.Timeout)
	}
	if spec.Timeout == 0 {
		spec.Timeout = caseTimeout
	}
	return spec, err
}

func variables(parameters json.RawMessage, secrets map[string]string) ([][]byte, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(parameters, &values); err != nil {
		return nil, fmt.Errorf("parameters: %w", err)
	}
	hidden := make(map[string]json.RawMessage, len(secrets))
	for name, value := range secrets {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", name, err)
		}
		hidden[name] = text
	}
	text, err := runtime.Variables(values, hidden)
	return [][]byte{text}, err
}

// start runs the program and compares. Secrets are masked as a runner does.
func (t *tester) start(ctx context.Context, a *action, spec process.Spec, hide *mask.Masker, tc pack.TestCase, r *Result) {
	out := connect(&spec, hide)
	res, err := t.Launcher.Run(ctx, spec)
	out.close()
	e := verdict(res, err, spec.Timeout)
	e.why = out.hide.String(e.why)
	if err == nil {
		result, err := a.resultOf(filepath.Join(spec.Dir, "result.json"), out)
		switch {
		case err == nil:
			r.Result = result
		case e.status == streams.Succeeded:
			e.status, e.class, e.why = streams.Failed, streams.ClassBadResult, "result: "+out.hide.String(err.Error())
		}
	}
	r.Status, r.Stdout, r.Stderr = string(e.status), out.stdout.text(), out.stderr.text()
	compareEnd(tc.Expect, e, r)
	compareResult(tc.Expect, r)
	compareText("stdout", tc.Expect.Stdout, r.Stdout, r)
	compareText("stderr", tc.Expect.Stderr, r.Stderr, r)
}

// verdict tells what the end of a process means, as a runner does.
func verdict(res process.Result, err error, timeout time.Duration) ended {
	switch {
	case err != nil:
		return ended{status: streams.Failed, class: streams.ClassSpawnFailed, why: err.Error()}
	case res.TimedOut:
		return ended{status: streams.TimedOut, class: streams.ClassTimeout, why: "ran longer than " + timeout.String(), code: res.ExitCode}
	case res.Canceled:
		return ended{status: streams.Canceled, class: streams.ClassCanceled, why: "interrupted", code: res.ExitCode}
	case res.Signal != 0:
		return ended{status: streams.Failed, class: streams.ClassSignal, why: "ended by signal " + res.Signal.String(), code: res.ExitCode}
	case res.ExitCode != 0:
		return ended{status: streams.Failed, class: streams.ClassExitStatus, why: fmt.Sprintf("exit status %d", res.ExitCode), code: res.ExitCode}
	}
	return ended{status: streams.Succeeded}
}

// errHidden is returned when what is wrong with a result can only be said with the secrets that it holds.
var errHidden = errors.New("what is wrong cannot be shown, because secrets are part of it")

// resultOf reads the result that a program gave, and checks it. It is given without secrets, and so is the error.
func (a *action) resultOf(file string, out *output) (json.RawMessage, error) {
	raw, err := readResult(file)
	if err == nil && raw == nil && a.spec.Output == pack.OutputJSON {
		if raw = bytes.TrimSpace(out.captured.b); out.captured.over {
			err = fmt.Errorf("larger than %d bytes", maxResult)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := a.check(raw); err != nil {
		shown := out.hide.String(string(raw))
		if shown == string(raw) {
			return nil, err
		}
		if err := a.check([]byte(shown)); err != nil {
			return nil, err
		}
		return nil, errHidden
	}
	raw, _ = out.hide.JSON(raw)
	return raw, nil
}

func (a *action) check(raw []byte) error {
	if complaint, ok := bytes.CutPrefix(raw, []byte("!")); ok {
		return fmt.Errorf("the function returned what is not JSON: %.200s", complaint)
	}
	var value any
	if len(raw) > 0 {
		var err error
		if value, err = strictjson.Parse(raw); err != nil {
			return fmt.Errorf("not acceptable JSON: %w", err)
		}
	}
	if len(a.spec.OutputSchema) > 0 {
		if err := a.result.Validate(value); err != nil {
			return fmt.Errorf("does not fit output_schema: %w", err)
		}
	}
	return nil
}

// readResult reads a result file, which the program may have replaced by anything. Without one it gives nil.
func readResult(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) //nolint:gosec // its own name
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("result file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(errors.New("the result file is not a plain file"), err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxResult+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("result file: %w", err)
	case len(raw) > maxResult:
		return nil, fmt.Errorf("larger than %d bytes", maxResult)
	}
	return bytes.TrimSpace(raw), nil
}
