package pack

import (
	"slices"
	"strings"
)

// waiting are the runtimes that Attune brings whose functions can be loaded before there is an execution. What is not
// among functions is an operator's, and decided where it is started.
var waiting = []string{"python", "node"}

// checkWarm checks that processes of an action can wait for executions, where they are to.
func (d *document) checkWarm() {
	if n, ok := d.integer("warm"); !ok || n <= 0 {
		return // nothing need wait
	}
	runtime, _ := d.text("runtime")
	entry, _ := d.text("entry_point")
	_, known := functions[runtime]
	complain := func(format string, args ...any) { d.at(codeWarm, []string{"warm"}, "warm: "+format, args...) }
	switch {
	case known && !slices.Contains(waiting, runtime):
		complain("a program of runtime %s cannot wait for its execution; functions of %s can", runtime, strings.Join(waiting, " and "))
	case entry != "" && !strings.Contains(entry, ":"):
		complain("a plain program starts its work when it is started, so it cannot wait; make it a function: entry_point: %s:run", entry)
	}
}
