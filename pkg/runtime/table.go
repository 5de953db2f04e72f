package runtime

// Names of the runtimes.
const (
	Shell  = "shell"
	Python = "python"
	Node   = "node"
	Native = "native"
)

// definition is what there is to know of a runtime. In the arguments {file}, {function} and {wrapper} stand
// for the entry point and the wrapper's file.
type definition struct {
	name       string
	candidates []string // programs looked for, the best first
	probe      []string // arguments that make it print its version and, on a second line, its own path
	program    []string // arguments that run a program
	wrapper    string   // embedded file that calls a function; "" where functions are unknown
	function   []string // arguments that call a function
}

// definitions lists the runtimes that have an interpreter. Python writes its output as it comes (-u), so
// that it can be followed; asking it and Node for their own path sees through version managers' shims, which
// are slow and depend on the environment.
var definitions = []definition{
	{
		name: Shell, candidates: []string{"bash", "sh"},
		probe:   []string{"-c", `echo "${BASH_VERSION:-posix}"`},
		program: []string{"{file}"},
	},
	{
		name: Python, candidates: []string{"python3", "python"},
		probe:   []string{"-c", "import sys; assert sys.version_info >= (3, 6); print('.'.join(map(str, sys.version_info[:3]))); print(sys.executable)"},
		program: []string{"-u", "{file}"},
		wrapper: "attune.py", function: []string{"-u", "{wrapper}", "{file}", "{function}"},
	},
	{
		name: Node, candidates: []string{"node", "nodejs"},
		probe:   []string{"-p", `process.versions.node + "\n" + process.execPath`},
		program: []string{"{file}"},
		wrapper: "attune.mjs", function: []string{"{wrapper}", "{file}", "{function}"},
	},
}

func define(name string) (definition, bool) {
	for _, d := range definitions {
		if d.name == name {
			return d, true
		}
	}
	return definition{}, false
}
