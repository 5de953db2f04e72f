package sandbox

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Controllers of control groups that bound programs.
const (
	controlMemory = "memory"
	controlPids   = "pids"
	controlCPU    = "cpu"
)

var controllers = []string{controlMemory, controlPids, controlCPU}

// period is the time, in microseconds, for which a share of the processors counts.
const period = 100_000

// cgroups are where groups for programs can be made: one folder for all controllers (version 2), or one for each.
type cgroups struct {
	dirs    map[string]string // by controller; none where this process may make no groups
	unified bool
	count   atomic.Uint64
}

// findCgroups looks for hierarchies in which this process may make groups with limits.
func findCgroups() *cgroups {
	own := ownGroups("/proc/self/cgroup")
	mounts := groupMounts("/proc/self/mountinfo")
	c := &cgroups{dirs: map[string]string{}}
	if dir, ok := unifiedParent(mounts[""], own[""]); ok {
		c.unified = true
		for _, name := range controllers {
			c.dirs[name] = dir
		}
		return c
	}
	for _, name := range controllers {
		if dir := filepath.Join(mounts[name], own[name]); mounts[name] != "" && probeGroup(dir) {
			c.dirs[name] = dir
		}
	}
	return c
}

// ownGroups gives the groups of a process by controller; that of version 2 is "".
func ownGroups(file string) map[string]string {
	all := map[string]string{}
	eachLine(file, func(line string) {
		if parts := strings.SplitN(line, ":", 3); len(parts) == 3 {
			for name := range strings.SplitSeq(parts[1], ",") {
				all[name] = parts[2]
			}
		}
	})
	return all
}

// groupMounts gives where hierarchies are mounted, by controller likewise.
func groupMounts(file string) map[string]string {
	all := map[string]string{}
	eachLine(file, func(line string) {
		left, right, ok := strings.Cut(line, " - ")
		at, kind := strings.Fields(left), strings.Fields(right)
		if !ok || len(at) < 5 || len(kind) < 3 {
			return
		}
		switch kind[0] {
		case "cgroup2":
			all[""] = at[4]
		case "cgroup":
			for name := range strings.SplitSeq(kind[2], ",") {
				all[name] = at[4]
			}
		}
	})
	return all
}

func eachLine(file string, f func(line string)) {
	r, err := os.Open(filepath.Clean(file))
	if err != nil {
		return // a machine without control groups has no such file
	}
	defer func() { _ = r.Close() }() // it was only read
	for s := bufio.NewScanner(r); s.Scan(); {
		f(s.Text())
	}
}

// unifiedParent gives the folder of version 2 in which groups can be made. It may hold no process itself, so it is the
// one above this process's: a service manager that delegates has to put the service into a group of its own there.
func unifiedParent(mount, own string) (string, bool) {
	if mount == "" || own == "" {
		return "", false
	}
	dir := filepath.Join(mount, filepath.Dir(own))
	have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return "", false
	}
	for _, name := range controllers {
		if !slices.Contains(strings.Fields(string(have)), name) {
			return "", false
		}
	}
	on := "+" + strings.Join(controllers, " +")
	if os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(on), 0) != nil {
		return "", false
	}
	return dir, probeGroup(dir)
}

// probeGroup tells whether a group can be made, and removes those that processes left which were killed.
func probeGroup(dir string) bool {
	left, _ := filepath.Glob(filepath.Join(dir, "attune-[0-9]*-[0-9]*")) // the pattern is good
	for _, old := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(old), "attune-"), "-")
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(old) // one that is not empty stays
		}
	}
	probe := filepath.Join(dir, groupName(0))
	err := os.Mkdir(probe, 0o700)
	return (err == nil || errors.Is(err, fs.ErrExist)) && os.Remove(probe) == nil
}

func groupName(n uint64) string {
	return "attune-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatUint(n, 10)
}

// Group is what holds a program and all that it starts to its limits. A nil one holds nothing.
type Group struct{ dirs []string }

// Bound puts a process that has not run yet under the limits of its policy. It may be called by the thread that
// started the process, which itself reaches no groups any more.
func (s *Sandbox) Bound(p *Policy, pid int) *Group {
	var g *Group
	if wanted := s.groups.settings(p.Limits); len(wanted) > 0 {
		made := make(chan *Group)
		go func() { made <- s.groups.put(wanted, pid) }() // on another thread: this one is locked to its own
		g = <-made
	}
	p.apply(pid, g.holds(s.groups.dirs[controlMemory]))
	return g
}

// put makes a group with the limits that there are. What cannot be set here is left to what else bounds the process.
func (c *cgroups) put(wanted map[string]map[string]string, pid int) *Group {
	g, name := &Group{}, groupName(c.count.Add(1))
	for _, controller := range controllers {
		parent, settings := c.dirs[controller], wanted[controller]
		if parent == "" || len(settings) == 0 {
			continue
		}
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o700); err != nil && !c.unified {
			continue
		}
		for file, value := range settings {
			_ = os.WriteFile(filepath.Join(dir, file), []byte(value), 0) // a kernel may lack one of them
		}
		if os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0) == nil && !slices.Contains(g.dirs, dir) {
			g.dirs = append(g.dirs, dir)
		}
	}
	return g
}

// settings gives the files to write by controller.
func (c *cgroups) settings(l Limits) map[string]map[string]string {
	memory, swap, quota := "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", map[string]string{
		"cpu.cfs_period_us": strconv.Itoa(period), "cpu.cfs_quota_us": strconv.Itoa(int(l.CPU * period)),
	}
	most := strconv.FormatInt(l.Memory, 10)
	none := most // version 1 counts memory and swap together
	if c.unified {
		memory, swap, none = "memory.max", "memory.swap.max", "0"
		quota = map[string]string{"cpu.max": strconv.Itoa(int(l.CPU*period)) + " " + strconv.Itoa(period)}
	}
	all := map[string]map[string]string{}
	if l.Memory > 0 {
		all[controlMemory] = map[string]string{memory: most, swap: none}
	}
	if l.Processes > 0 {
		all[controlPids] = map[string]string{"pids.max": strconv.FormatInt(l.Processes, 10)}
	}
	if l.CPU > 0 {
		all[controlCPU] = quota
	}
	return all
}

// holds tells whether the group has a part below a folder.
func (g *Group) holds(parent string) bool {
	return g != nil && parent != "" && slices.ContainsFunc(g.dirs, func(dir string) bool { return filepath.Dir(dir) == parent })
}

// Release removes the group, once nothing of the program is left. It tells whether it is gone: what has just been
// killed may still be there for an instant.
func (g *Group) Release() (gone bool) {
	if g == nil {
		return true
	}
	g.dirs = slices.DeleteFunc(g.dirs, func(dir string) bool {
		err := os.Remove(dir)
		return err == nil || errors.Is(err, fs.ErrNotExist)
	})
	return len(g.dirs) == 0
}
