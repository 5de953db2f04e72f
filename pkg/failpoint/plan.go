package failpoint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// ErrPlan is returned for a plan that cannot be followed.
var ErrPlan = errors.New("plan of failpoints is not usable")

// Deed is what a place does when its time has come.
type Deed string

// The deeds.
const (
	Kill Deed = "kill" // SIGKILL to this process
	Stop Deed = "stop" // SIGSTOP to this process, until somebody continues it
)

// Plan says which places do what, and when.
type Plan struct {
	log string // file of firings

	mu     sync.Mutex // guards the fields below
	points map[Name]*point
	chance *rand.Rand
}

// point is a place that does something.
type point struct {
	deed        Deed
	at          int     // the hit that fires; 0: by probability
	probability float64 // of every hit
	hits        int
}

// Parse reads a plan: entries name=deed@when, separated by commas, where deed is kill or stop and when the number
// of the hit that fires, or p and the probability that one does (p0.02); without @when it is the first. The entry
// seed=NUMBER makes chance repeatable. An empty text is no plan: nil.
func Parse(text string) (*Plan, error) {
	if text == "" {
		return nil, nil
	}
	p := &Plan{points: map[Name]*point{}}
	seed := rand.Uint64()
	var errs []error
	for entry := range strings.SplitSeq(text, ",") {
		name, what, _ := strings.Cut(strings.TrimSpace(entry), "=")
		var err error
		if name == "seed" {
			seed, err = strconv.ParseUint(what, 10, 64)
		} else {
			err = p.add(Name(name), what)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: %q: %w", ErrPlan, entry, err))
		}
	}
	p.chance = rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // it is to be repeatable
	return p, errors.Join(errs...)
}

var (
	errName = errors.New("no place has this name")
	errDeed = errors.New("want kill or stop")
	errWhen = errors.New("want the number of a hit from 1, or p and a probability above 0, at most 1")
	errOnce = errors.New("the place has a deed already")
)

func (p *Plan) add(name Name, what string) error {
	if !slices.Contains(Names(), name) {
		return errName
	}
	if p.points[name] != nil {
		return errOnce
	}
	deed, when, timed := strings.Cut(what, "@")
	pt := &point{deed: Deed(deed), at: 1}
	if pt.deed != Kill && pt.deed != Stop {
		return errDeed
	}
	p.points[name] = pt
	if !timed {
		return nil
	}
	return pt.parseWhen(when)
}

func (pt *point) parseWhen(when string) (err error) {
	if text, isChance := strings.CutPrefix(when, "p"); isChance {
		pt.at = 0
		if pt.probability, err = strconv.ParseFloat(text, 64); err != nil || !(pt.probability > 0 && pt.probability <= 1) {
			return errWhen
		}
		return nil
	}
	if pt.at, err = strconv.Atoi(when); err != nil || pt.at < 1 {
		return errWhen
	}
	return nil
}

// due counts a hit and tells what is to be done now, if anything.
func (p *Plan) due(name Name) (Deed, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pt := p.points[name]
	if pt == nil {
		return "", false
	}
	pt.hits++
	if pt.at == 0 {
		return pt.deed, p.chance.Float64() < pt.probability
	}
	return pt.deed, pt.hits == pt.at
}

// note puts a firing on disk.
func (p *Plan) note(n Name, d Deed) error {
	f, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %s %d\n", n, d, os.Getpid())
	return errors.Join(err, f.Sync(), f.Close())
}

// Firing is a line of the file that firings are noted in.
type Firing struct {
	Name Name
	Deed Deed
	PID  int
}

// Firings reads the file that firings were noted in. One that does not exist holds none.
func Firings(log string) ([]Firing, error) {
	text, err := os.ReadFile(log) //nolint:gosec // the caller's own file
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("firings: %w", err)
	}
	var all []Firing
	for line := range strings.Lines(string(text)) {
		var f Firing
		if _, err := fmt.Sscanf(line, "%s %s %d\n", &f.Name, &f.Deed, &f.PID); err != nil {
			return nil, fmt.Errorf("firings: %q: %w", line, err)
		}
		all = append(all, f)
	}
	return all, nil
}
