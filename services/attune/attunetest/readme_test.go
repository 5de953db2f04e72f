package attunetest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/attune/attune/services/attune/attunetest"
)

// root is the repository's folder, where a reader of the README stands.
var root = filepath.Join("..", "..", "..")

// The tour of the README is run as a reader would run it, and what it shows is what comes.
func TestTheToursCommandsDoWhatTheReadmeShows(t *testing.T) {
	t.Parallel()
	blocks := tour(t)
	sh := openShell(t, attunetest.Start(t, attunetest.Options{}))
	for _, block := range blocks {
		for i, s := range block {
			if s.stock() && !sh.stock {
				t.Logf("SKIPPED, the nats command is not installed: %d steps from %q on", len(block)-i, s.command)
				break // what follows in the block shows what the nats command did
			}
			sh.check(s)
		}
	}
}

// step is a command of the tour and the lines shown after it.
type step struct {
	command string
	shown   []string
}

// stock tells whether the command is the stock one of NATS, which may be absent.
func (s step) stock() bool { return strings.HasPrefix(s.command, "nats ") }

// onlyReads tells whether the command may be repeated until it shows what is decided and recorded meanwhile.
func (s step) onlyReads() bool { return reads.MatchString(s.command) }

var reads = regexp.MustCompile(`^attune \w+ (list|show)\b`)

// tour reads the steps from the README, block by block.
func tour(t *testing.T) [][]step {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## A tour\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks [][]step
	for _, b := range regexp.MustCompile("(?s)\n```console\n(.*?)\n```").FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, steps(t, b[1]))
	}
	if len(blocks) < 5 {
		t.Fatalf("the README's tour has %d blocks", len(blocks))
	}
	return blocks
}

// steps reads a block. A command that ends in a backslash goes on in the next line.
func steps(t *testing.T, block string) []step {
	t.Helper()
	var all []step
	for line := range strings.Lines(block) {
		line = strings.TrimRight(line, "\n")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case isCommand:
			all = append(all, step{command: command})
		case len(all) == 0:
			t.Fatalf("the block starts without a command:\n%s", block)
		default:
			last := &all[len(all)-1]
			if strings.HasSuffix(last.command, `\`) {
				last.command += "\n" + line
			} else {
				last.shown = append(last.shown, line)
			}
		}
	}
	return all
}

// missing gives the first shown line that the output does not have, in the order shown.
func (s step) missing(output string) (string, bool) {
	lines := strings.Split(output, "\n")
	for _, shown := range s.shown {
		parts := strings.Split(strings.TrimSpace(shown), "...")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		wanted := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		for len(lines) > 0 && !wanted.MatchString(strings.TrimSpace(lines[0])) {
			lines = lines[1:]
		}
		if len(lines) == 0 {
			return shown, true
		}
		lines = lines[1:]
	}
	return "", false
}

// shell is one bash that runs the whole tour, so that variables last from one command to the next.
type shell struct {
	t      *testing.T
	stock  bool // the nats command is there
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *os.File
	output *bufio.Reader // of out
}

func openShell(t *testing.T, in *attunetest.Instance) *shell {
	t.Helper()
	bin := t.TempDir()
	link(t, attunetest.Command(nil).Path, filepath.Join(bin, "attune"))
	nats, found := findNATS()
	if found {
		link(t, nats, filepath.Join(bin, "nats"))
	}
	sh := &shell{t: t, stock: found, cmd: in.Cmd("bash", "--noprofile", "--norc")}
	sh.cmd.Dir = root
	sh.cmd.Env = append(sh.cmd.Env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "ATTUNE_API_URL="+in.APIURL)
	if err := sh.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sh.close)
	return sh
}

func (sh *shell) start() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close() //nolint:errcheck // the shell has its own
	sh.out, sh.output = r, bufio.NewReader(r)
	sh.cmd.Stdout, sh.cmd.Stderr = w, w
	if sh.in, err = sh.cmd.StdinPipe(); err != nil {
		return err
	}
	return sh.cmd.Start()
}

// close ends the shell, and kills it should a command hang.
func (sh *shell) close() {
	err := errors.Join(sh.in.Close(), sh.out.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, stays := io.Copy(io.Discard, sh.output); stays != nil {
		err = errors.Join(err, stays, sh.cmd.Process.Kill())
	}
	_ = sh.cmd.Wait() // its status is the last command's
	if err := errors.Join(err, sh.out.Close()); err != nil {
		sh.t.Error(err)
	}
}

func link(t *testing.T, program, name string) {
	t.Helper()
	program, err := filepath.Abs(program)
	if err == nil {
		err = os.Symlink(program, name)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// findNATS finds the stock command on the path or where `go install` puts it.
func findNATS() (string, bool) {
	if path, err := exec.LookPath("nats"); err == nil {
		return path, true
	}
	gopath, err := exec.Command("go", "env", "GOPATH").Output()
	if err != nil {
		return "", false
	}
	path, err := exec.LookPath(filepath.Join(strings.TrimSpace(string(gopath)), "bin", "nats"))
	return path, err == nil
}

// check runs the step, again while it only reads and does not show yet what it should.
func (sh *shell) check(s step) {
	sh.t.Helper()
	deadline, tick := time.After(attunetest.Patience), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for {
		output, status := sh.run(s.command)
		line, lacks := s.missing(output)
		if status == 0 && !lacks {
			return
		}
		problem := fmt.Sprintf("$ %s\nstatus %d, without the line %q:\n%s", s.command, status, line, output)
		if !s.onlyReads() {
			sh.t.Fatal(problem)
		}
		select {
		case <-deadline:
			sh.t.Fatal(problem)
		case <-tick.C:
		}
	}
}

// done is what the shell says after every command, with its status.
const done = "--- the command ended with status "

func (sh *shell) run(command string) (output string, status int) {
	sh.t.Helper()
	if err := sh.out.SetReadDeadline(time.Now().Add(attunetest.Patience)); err != nil {
		sh.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(sh.in, "{ %s\n} </dev/null; printf '\\n%%s%%d\\n' '%s' $?\n", command, done); err != nil {
		sh.t.Fatal(err)
	}
	var text strings.Builder
	for {
		line, err := sh.output.ReadString('\n')
		if err != nil {
			sh.t.Fatalf("$ %s\n%s%s\n%v", command, text.String(), line, err)
		}
		code, ended := strings.CutPrefix(line, done)
		if !ended {
			text.WriteString(line)
			continue
		}
		if status, err = strconv.Atoi(strings.TrimSpace(code)); err != nil {
			sh.t.Fatal(err)
		}
		return text.String(), status
	}
}
