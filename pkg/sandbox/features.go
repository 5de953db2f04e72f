package sandbox

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Feature is a part of what a sandbox does, and whether this machine has it.
type Feature struct {
	Name   string `json:"name"`
	Active bool   `json:"active"`
	Detail string `json:"detail,omitempty"`
}

// Names of features.
const (
	FeatureFiles     = "files"            // Landlock keeps programs from files that they were not given
	FeatureCalls     = "system_calls"     // seccomp and no_new_privs
	FeatureSignals   = "signals"          // a program can signal its own processes only
	FeatureAbstract  = "abstract_sockets" // nor connect to abstract sockets of others
	FeatureUsers     = "users"            // each running program has a user of its own
	FeatureRooms     = "namespaces"       // and processes, mounts, /tmp and System V objects of its own
	FeatureMemory    = "memory_limit"     // of a whole program, by control groups
	FeaturePids      = "process_limit"    // likewise
	FeatureCPU       = "cpu_limit"        // likewise
	FeatureProcesses = "process_tree"     // how all processes of a program are found when it must end
)

// Features tells what is active. The list is always the same; a nil sandbox has nothing active.
func (s *Sandbox) Features() []Feature {
	if s == nil {
		s = &Sandbox{groups: &cgroups{}}
	}
	files := ""
	if s.land.abi > 0 {
		files = fmt.Sprintf("landlock ABI %d", s.land.abi)
	}
	users := s.withoutRooms // what forbids the one forbids the other
	if s.users != nil {
		users = s.users.String()
	}
	tree := "marks and adoption of orphans"
	if s.rooms {
		tree = "killed with their namespace"
	}
	all := []Feature{
		{Name: FeatureFiles, Active: s.land.abi > 0, Detail: files},
		{Name: FeatureCalls, Active: len(s.filter) > 0, Detail: ifAny(len(s.filter), "seccomp, no_new_privs")},
		{Name: FeatureSignals, Active: s.land.scoped&unix.LANDLOCK_SCOPE_SIGNAL != 0 || s.rooms},
		{Name: FeatureAbstract, Active: s.land.scoped&unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET != 0},
		{Name: FeatureUsers, Active: s.users != nil, Detail: users},
		{Name: FeatureRooms, Active: s.rooms, Detail: s.withoutRooms},
		{Name: FeatureProcesses, Active: true, Detail: tree},
	}
	for _, name := range controllers {
		all = append(all, s.groups.feature(name))
	}
	return all
}

// feature tells whether programs can be held to a limit as a whole.
func (c *cgroups) feature(controller string) Feature {
	f := Feature{Name: map[string]string{controlMemory: FeatureMemory, controlPids: FeaturePids, controlCPU: FeatureCPU}[controller]}
	if f.Active = c.dirs[controller] != ""; !f.Active {
		f.Detail = "no control group that may be divided"
		return f
	}
	f.Detail = "control groups, version 1"
	if c.unified {
		f.Detail = "control groups, version 2"
	}
	return f
}

func ifAny(n int, text string) string {
	if n == 0 {
		return ""
	}
	return text
}

// Summary names what is active, and what is not, in one line.
func Summary(all []Feature) string {
	var yes, no []string
	for _, f := range all {
		if f.Active {
			yes = append(yes, f.Name)
		} else {
			no = append(no, f.Name)
		}
	}
	text := strings.Join(yes, ", ")
	if len(no) > 0 {
		text += "; without " + strings.Join(no, ", ")
	}
	return text
}
