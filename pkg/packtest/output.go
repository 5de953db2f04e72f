package packtest

import (
	"io"
	"strings"

	"github.com/attune/attune/pkg/mask"
	"github.com/attune/attune/pkg/process"
)

// output takes what a program writes, and hides the secrets of its case.
type output struct {
	hide           *mask.Masker
	captured       kept // the standard output as it is, which may be the result
	stdout, stderr kept // what is shown
	added          mask.Added
	closers        []io.Closer
}

// connect leads a program's output through a masker.
func connect(spec *process.Spec, hide *mask.Masker) *output {
	o := &output{hide: hide}
	shown, errShown := hide.Writer(&o.stdout), hide.Writer(&o.stderr)
	out := hide.Commands(io.MultiWriter(&o.captured, shown), shown, &o.added)
	err := hide.Commands(errShown, errShown, &o.added)
	spec.Stdout, spec.Stderr = out, err
	o.closers = []io.Closer{out, shown, err, errShown}
	return o
}

// close passes on what was held back.
func (o *output) close() {
	for _, c := range o.closers {
		_ = c.Close() // what is kept in memory takes everything
	}
}

// kept keeps the beginning of a stream.
type kept struct {
	b    []byte
	over bool
}

// Write never fails.
func (k *kept) Write(p []byte) (int, error) {
	room := min(len(p), maxOutput-len(k.b))
	k.b = append(k.b, p[:room]...)
	k.over = k.over || room < len(p)
	return len(p), nil
}

func (k *kept) text() string { return strings.ToValidUTF8(string(k.b), "\uFFFD") }
