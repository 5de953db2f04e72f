// Command prober is an action that tries to reach everything that it must not reach. Its result names each try with
// what came of it: "refused" with the error, or what it got. It tells nobody's secrets but the tests' own.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// input is what the program reads from its standard input.
type input struct {
	Parameters struct {
		Data     string   `json:"data"`     // Attune's folder
		PIDs     []int    `json:"pids"`     // processes that it must not reach
		NATS     string   `json:"nats"`     // address, host:port
		Postgres string   `json:"postgres"` // file of its socket; "" if there is none
		Abstract string   `json:"abstract"` // name of somebody's abstract socket
		Files    []string `json:"files"`    // that it must not read
		Wait     string   `json:"wait"`     // file to wait for, in place of all that: to be somebody else's neighbour
	} `json:"parameters"`
	Secrets map[string]string `json:"secrets"`
}

// refused is how a result begins that is as it should be.
const refused = "refused: "

// tries are the results by name.
type tries map[string]string

// add records a try: what it got, or the error.
func (t tries) add(name string, got any, err error) {
	if err != nil {
		t[name] = refused + err.Error()
		return
	}
	t[name] = fmt.Sprintf("got %.200v", got)
}

func main() {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		fmt.Fprintln(os.Stderr, "read input:", err)
		os.Exit(1)
	}
	if in.Parameters.Wait != "" {
		neighbour(in)
		return
	}
	t := tries{}
	t.files(in)
	t.processes(in)
	t.calls()
	t.sockets(in)
	t.self()
	text, err := json.Marshal(t)
	if err == nil {
		err = os.WriteFile(os.Getenv("ATTUNE_RESULT_FILE"), text, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "write result:", err)
		os.Exit(1)
	}
}

// neighbour has a secret in its memory, its environment of a program that it starts, its arguments and a file of its
// folder, until it is told to end.
func neighbour(in input) {
	keep := strings.Repeat(in.Secrets["CANARY"]+" ", 3)
	if err := os.WriteFile("mine", []byte(keep), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		if _, err := os.Stat(in.Parameters.Wait); err == nil {
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	if !strings.Contains(keep, in.Secrets["CANARY"]) {
		os.Exit(2)
	}
}
