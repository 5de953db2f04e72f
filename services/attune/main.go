// Command attune is all of Attune in one program: `attune up` runs everything on one machine, `attune serve`
// one service, and every other command is a client of the API.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/attune/attune/services/attune/cli"
	"github.com/attune/attune/services/attune/serve"
	"github.com/attune/attune/services/attune/up"
)

// version is set when a release is built.
var version = ""

func main() { os.Exit(run()) }

func run() int {
	if err := armFailpoints(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	v := ourVersion()
	root := cli.New(v)
	root.AddCommand(up.Command(v), serve.Command(v))
	return cli.Execute(context.Background(), root)
}

// ourVersion is the released version, or the commit that the program was built from.
func ourVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}
