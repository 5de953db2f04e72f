package beacon

import (
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/tinyelf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The assembler names the address of the data as a number.
func TestTheDataIsWhereTheCodeReadsIt(t *testing.T) {
	t.Parallel()
	if tinyelf.DataAt != 66168 {
		t.Errorf("the data of a program stands at %d", tinyelf.DataAt)
	}
}

func TestAProgramSaysWhenItBegan(t *testing.T) {
	t.Parallel()
	const id = "0192a8d4-7a60-7b44-9f5e-0123456789ab"
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"with the id of its execution":        {[]string{"HOME=/", "ATTUNE_EXECUTION_ID=" + id, "LANG=C"}, id},
		"with the id as its last variable":    {[]string{"ATTUNE_ACTION=bench.mark", "ATTUNE_EXECUTION_ID=" + id}, id},
		"without an id":                       {[]string{"ATTUNE_EXECUTION=" + id, "ATTUNE_E=1"}, ""},
		"with an environment of one variable": {[]string{"A="}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Listen()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.Close() })
			file := filepath.Join(t.TempDir(), "program")
			if err := WriteProgram(file, r.Addr()); err != nil {
				t.Fatal(err)
			}
			before := Now()
			cmd := exec.Command(file, "an", "argument")
			cmd.Env = c.env
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Fatalf("%v: %s", err, out)
			}
			b := <-r.Beacons
			if b.ID != c.want || b.At < before || b.At > Now() {
				t.Errorf("it says %+v, between %v and %v", b, before, Now())
			}
		})
	}
}
