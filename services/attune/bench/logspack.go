package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// The pack of the measurement of output, and the pool of the runner that is measured.
const (
	outputPack = "output"
	outputPool = "output"
)

// secrets is how many an action with secrets has.
const secrets = 20

func secretName(i int) string { return "BENCH_" + strconv.Itoa(i) }

func secretValue(i int) string { return fmt.Sprintf("not-in-the-output-%04d-%x", i, i*7919) }

// writeOutputPack writes the actions of the measurement. Those with much output are one cat of a text of a megabyte:
// the program costs as little as a program can.
func writeOutputPack(folder, shared string, o outputOptions) (string, error) {
	var names strings.Builder
	for i := range secrets {
		names.WriteString(secretName(i) + ", ")
	}
	const described = "description: Part of a measurement.\nruntime: shell\nvariables: false\ntimeout: 10m\npool: " + outputPool + "\n"
	const unbounded = "logs: {max_bytes: 1073741824, max_total_bytes: 1073741824}\n"
	files := map[string]string{
		"pack.yaml":           "name: " + outputPack + "\nversion: 1.0.0\ndescription: What the measurement of output runs.\n",
		"actions/text":        text(),
		"actions/warm.yaml":   described + "entry_point: warm.sh\n",
		"actions/warm.sh":     "#!/bin/sh\necho ready\n",
		"actions/flood.yaml":  described + "entry_point: flood.sh\nlogs: {max_bytes: 20971520, max_total_bytes: 20971520}\n",
		"actions/flood.sh":    repeated(o.flood),
		"actions/plain.yaml":  described + "entry_point: keep.sh\n" + unbounded,
		"actions/masked.yaml": described + "entry_point: keep.sh\n" + unbounded + "secrets: [" + strings.TrimSuffix(names.String(), ", ") + "]\n",
		"actions/keep.sh":     repeated(o.keep),
		"actions/ticks.yaml":  described + "entry_point: ticks.sh\n",
		"actions/ticks.sh": fmt.Sprintf("#!/bin/sh\necho ready\nuntil [ -e %s/go ]; do sleep 0.05; done\ni=0\nwhile [ $i -lt %d ]; do date +%%s%%N; sleep 0.05; i=$((i+1)); done\n",
			shared, o.lines),
	}
	return folder, writeFiles(folder, files)
}

func repeated(times int) string {
	return "#!/bin/sh\ncd \"${0%/*}\" && exec cat" + strings.Repeat(" text", times) + "\n"
}

// text is a megabyte of lines as programs log them.
func text() string {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in every run
	var b strings.Builder
	for i := 0; b.Len() < 1<<20; i++ {
		fmt.Fprintf(&b, "2026-01-02T15:04:%02d.%06dZ INFO request served method=GET path=/api/v1/items/%d status=200 bytes=%d took=%dus id=%016x\n",
			i%60, r.IntN(1e6), r.IntN(1e5), r.IntN(1e6), r.IntN(1e5), r.Uint64())
	}
	return b.String()[:1<<20]
}
