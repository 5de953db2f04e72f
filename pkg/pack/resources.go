package pack

import "strconv"

// Resources bound what an execution of an action may use, with all that it starts. A zero is no bound.
type Resources struct {
	Memory    Size    `json:"memory,omitempty"`
	Processes int64   `json:"pids,omitempty"` // and threads
	CPU       float64 `json:"cpu,omitempty"`  // processors
}

// Size is an amount of memory as users write it, such as 512m; "" is none.
type Size string

// sizeUnits are what the last letter of a size stands for.
var sizeUnits = map[byte]int64{'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30}

// Bytes gives the amount; 0 for none, and for what the schema of actions refuses.
func (s Size) Bytes() int64 {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(string(s[:len(s)-1]), 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return n * sizeUnits[s[len(s)-1]]
}
