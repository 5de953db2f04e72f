package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/attune/attune/pkg/environment"
	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/runtime"
	"github.com/attune/attune/pkg/schema"
)

// errNoAction is returned when a pack has no such action.
var errNoAction = errors.New("the pack has no such action")

// packs gives the programs that executions need. What is the same for all executions of an action is made once.
type packs struct {
	mu   sync.Mutex // guards open
	open map[string]*opened
}

// opened is a pack whose actions are used.
type opened struct {
	env *environment.Environment

	mu       sync.Mutex // guards the fields below
	programs map[string]*program
	declared map[string]int // how many processes are to wait for which action; nil before anybody asked

	// What the pack's files say; actions is nil before they were read. There may be thousands of actions of which few
	// are used: each is kept as it is written until it is.
	name    string
	ranges  map[string]string
	actions map[string][]byte
	warm    []pack.Action // those that say how many of their processes are to wait
}

// program is an action ready to be started. It is the same for all executions.
type program struct {
	pack.Action
	command runtime.Command
	result  *schema.Schema
	reach   []string // files and folders of the machine that it needs
}

// shower makes what a program needs of the machine reachable.
type shower func(env *environment.Environment, p *program) error

// program gives an action of a pack that is ready.
func (ps *packs) program(set *runtime.Set, env *environment.Environment, name string, show shower) (*program, error) {
	return ps.opened(env).program(set, name, show)
}

func (ps *packs) opened(env *environment.Environment) *opened {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	o := ps.open[env.Digest]
	if o == nil || o.env != env {
		o = &opened{env: env, programs: map[string]*program{}}
		ps.open[env.Digest] = o
	}
	return o
}

// forget drops what was made for a pack that is no longer wanted.
func (ps *packs) forget(digest string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.open, digest)
}

// program makes an action ready, once.
func (o *opened) program(set *runtime.Set, name string, show shower) (*program, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ready := o.programs[name]; ready != nil {
		return ready, nil
	}
	spec, err := o.action(name)
	if err != nil {
		return nil, err
	}
	command, err := o.command(set, spec)
	if err != nil {
		return nil, &startError{err}
	}
	result, err := schema.Compile(spec.OutputSchema)
	if err != nil {
		return nil, fmt.Errorf("action %s: output_schema: %w", name, err)
	}
	p := &program{Action: spec, command: command, result: result}
	if err := show(o.env, p); err != nil {
		return nil, fmt.Errorf("action %s: %w", name, err)
	}
	o.programs[name] = p
	return p, nil
}

// action needs mu.
func (o *opened) action(name string) (a pack.Action, err error) {
	if err := o.read(); err != nil {
		return a, err
	}
	text, ok := o.actions[name]
	if !ok {
		return a, fmt.Errorf("action %s: %w", name, errNoAction)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("action %s: %w", name, err)
	}
	return a, nil
}

// read reads the pack's files, once. It needs mu.
func (o *opened) read() error {
	if o.actions != nil {
		return nil
	}
	p, err := o.env.Definition()
	if err != nil {
		return fmt.Errorf("read pack: %w", err)
	}
	actions, warm := make(map[string][]byte, len(p.Actions)), []pack.Action(nil)
	for _, a := range p.Actions {
		if actions[a.Name], err = json.Marshal(a); err != nil {
			return fmt.Errorf("action %s: %w", a.Name, err)
		}
		if a.Warm != nil {
			warm = append(warm, a)
		}
	}
	o.name, o.ranges, o.actions, o.warm = p.Name, p.Runtime, actions, warm
	return nil
}

// command tells how to start an action with the interpreter that its pack was built with.
func (o *opened) command(set *runtime.Set, a pack.Action) (runtime.Command, error) {
	found, missing, ok := o.env.Interpreter(a.Runtime)
	if !ok {
		return runtime.Command{}, fmt.Errorf("action %s: %w: %s", a.Name, runtime.ErrNoRuntime, environment.Lacks(missing))
	}
	return set.Command(runtime.Location{Pack: o.env.Pack, Env: o.env.Env(a.Runtime), Interpreter: found}, a)
}

// startError marks an error as one of starting: the program exists, but cannot be run here.
type startError struct{ error }

func (e *startError) Unwrap() error { return e.error }
