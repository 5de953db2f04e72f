package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

var (
	errNothing = errors.New("nothing was there to be had")
	errKept    = errors.New("it is as it was")
)

// files tries Attune's folder, the work of others, and the pack.
func (t tries) files(in input) {
	data, work := in.Parameters.Data, mustWork()
	for _, name := range []string{"token", "attune.json", "keys", "nats", "postgres", "runner/spool", "runner/name", "runner/lock", "runner/interpreters.json"} {
		t.open("data/"+name, filepath.Join(data, name))
	}
	for _, file := range in.Parameters.Files {
		t.open("file "+file, file)
	}
	t.add("work of others", nil, others(filepath.Dir(work), work))
	program, err := os.Executable()
	if err != nil {
		t.add("pack", nil, err)
		return
	}
	actions := filepath.Dir(program)
	for name, err := range map[string]error{
		"change pack":            os.WriteFile(program, nil, 0o600),
		"add to pack":            os.WriteFile(filepath.Join(actions, "new"), nil, 0o600),
		"take from pack":         os.Remove(program),
		"write to data":          os.WriteFile(filepath.Join(data, "new"), nil, 0o600),
		"write beside work":      os.WriteFile(filepath.Join(filepath.Dir(work), "new"), nil, 0o600),
		"link to data":           os.Link(filepath.Join(data, "token"), "token"),
		"link to passwd":         os.Link("/etc/passwd", "passwd"),
		"write to etc":           os.WriteFile("/etc/attune-prober", nil, 0o600),
		"write to sys":           os.WriteFile("/sys/fs/cgroup/attune-prober", nil, 0o600),
		"write to proc/sys":      os.WriteFile("/proc/sys/kernel/core_pattern", []byte("core"), 0o600),
		"write to memory device": os.WriteFile("/dev/mem", nil, 0o600),
	} {
		t.add(name, "done", err)
	}
}

func mustWork() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}

// open tries to read a file, or to list a folder.
func (t tries) open(name, path string) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		t.add("read "+name, nil, err)
		return
	}
	defer func() { _ = f.Close() }() // it was only read
	list, err := f.ReadDir(-1)
	if err == nil {
		t.add("list "+name, list, nil)
		return
	}
	b := make([]byte, 64)
	n, err := f.Read(b)
	t.add("read "+name, string(b[:max(n, 0)]), err)
}

// others looks into every folder beside this one.
func others(dir, mine string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if path == mine {
			continue
		}
		if found, err := os.ReadDir(path); err == nil {
			panic(fmt.Sprintf("%s: %v", path, found))
		}
	}
	return errNothing
}

// processes tries everything that /proc shows of each process that is not this one, and everything that reaches into
// one by its number.
func (t tries) processes(in input) {
	pids := slices.Clone(in.Parameters.PIDs)
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil && pid != os.Getpid() && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	for i, pid := range pids {
		if i < len(in.Parameters.PIDs) {
			t.process(pid)
			continue
		}
		stranger := tries{} // a machine may have thousands, more than a result can hold
		stranger.process(pid)
		for name, came := range stranger {
			if !strings.HasPrefix(came, refused) {
				t[name] = came
			}
		}
	}
}

// process tries one of them.
func (t tries) process(pid int) {
	dir := "/proc/" + strconv.Itoa(pid)
	for _, name := range []string{"environ", "mem", "fd/0", "fd/1", "fd/3", "fd/4", "fd/5", "fd/6", "fd/7", "root/etc/passwd", "cwd/mine", "maps", "task/" + strconv.Itoa(pid) + "/environ"} {
		if err := secretive(filepath.Join(dir, name)); err != nil {
			t.add(fmt.Sprintf("%s/%s", dir, name), nil, err)
		} else {
			t.add(fmt.Sprintf("%s/%s", dir, name), "content", nil)
		}
	}
	t.into(pid)
}

// secretive tries to get anything of a file of /proc. One that opens and is empty tells nothing.
func secretive(path string) error {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if list, err := f.ReadDir(-1); err == nil && len(list) > 0 {
		return nil
	}
	b := make([]byte, 64)
	n, err := f.Read(b)
	if n > 0 {
		return nil
	}
	return errors.Join(errNothing, err)
}

// self looks at what it was left with.
func (t tries) self() {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.add("status", nil, err)
		return
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "NoNewPrivs", "Seccomp":
			t.add(name, value, when(value != "0", errKept))
		case "CapPrm", "CapEff", "CapInh", "CapAmb":
			t.add(name, value, when(strings.Trim(value, "0") == "", errNothing))
		}
	}
	t.add("descriptors", descriptors(), when(len(descriptors()) == 0, errNothing))
	t.add("files of others in /tmp", nil, strange("/tmp"))
}

// descriptors lists what is open besides the three of the contract and what the Go runtime opened itself.
func descriptors() (more []string) {
	list, _ := os.ReadDir("/proc/self/fd") // none is as good
	for _, e := range list {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		own := strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, "/sys/fs/cgroup/") || strings.HasPrefix(to, "/proc/")
		if n, _ := strconv.Atoi(e.Name()); n > 2 && err == nil && !own {
			more = append(more, e.Name()+" "+to)
		}
	}
	return more
}

// strange looks for what this program did not make in a folder.
func strange(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	for _, e := range list {
		if _, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil {
			panic("read " + e.Name())
		}
	}
	return errNothing
}

// when gives the error of a try that is as it should be.
func when(fine bool, err error) error {
	if fine {
		return err
	}
	return nil
}
