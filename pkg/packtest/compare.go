package packtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/pkg/strictjson"
	"github.com/attune/attune/streams"
)

func compareEnd(want pack.TestExpect, e ended, r *Result) {
	status := want.Status
	if status == "" {
		status = string(streams.Succeeded)
		if want.Error != "" || want.ExitCode != nil && *want.ExitCode != 0 {
			status = string(streams.Failed)
		}
	}
	if string(e.status) != status {
		r.fail("status: %s, want %s%s", e.status, status, because(e.why))
	}
	if want.Error != "" && e.class != want.Error {
		r.fail("error: %s, want %s%s", orNone(e.class), want.Error, because(e.why))
	}
	if want.ExitCode != nil && e.code != *want.ExitCode {
		r.fail("exit_code: %d, want %d", e.code, *want.ExitCode)
	}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func compareResult(want pack.TestExpect, r *Result) {
	var got any
	if len(r.Result) > 0 {
		got, _ = strictjson.Parse(r.Result) // it was parsed before
	}
	if want.Result != nil && !same(want.Result, got) {
		r.fail("result differs:\n%s", difference(want.Result, got))
	}
	if want.ResultIncludes != nil {
		for _, f := range lacks(want.ResultIncludes, got, "result") {
			r.fail("%s", f)
		}
	}
}

func compareText(name string, want pack.TestText, got string, r *Result) {
	for _, text := range want.Contains {
		if !strings.Contains(got, text) {
			r.fail("%s: does not contain %q", name, text)
		}
	}
	if want.Matches == "" {
		return
	}
	if pattern, err := regexp.Compile(want.Matches); err != nil {
		r.fail("%s: %v", name, err)
	} else if !pattern.MatchString(got) {
		r.fail("%s: does not match %s", name, want.Matches)
	}
}

// same compares values of JSON; numbers by what they are, however they are written.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x.Cmp(y) == 0
	}
	return a == b
}

// maxNumber bounds the numbers that are compared by their value: an exponent can be large.
const maxNumber = 100

func number(v any) (*big.Rat, bool) {
	n, ok := v.(json.Number)
	if !ok || len(n) > maxNumber {
		return nil, false
	}
	if _, exponent, ok := strings.Cut(strings.ToLower(n.String()), "e"); ok {
		if e, err := strconv.Atoi(exponent); err != nil || e > maxNumber || e < -maxNumber {
			return nil, false
		}
	}
	return new(big.Rat).SetString(n.String())
}

// lacks says what of a wanted value is not in another. Lists must be as long.
func lacks(want, got any, at string) (faults []string) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: is %s, want an object", at, strictjson.Kind(got))}
		}
		for _, key := range slices.Sorted(maps.Keys(w)) {
			inner, ok := g[key]
			if !ok {
				faults = append(faults, fmt.Sprintf("%s.%s: is missing, want %s", at, key, brief(w[key])))
				continue
			}
			faults = append(faults, lacks(w[key], inner, at+"."+key)...)
		}
		return faults
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s: is %s, want %s", at, brief(got), brief(want))}
		}
		for i := range w {
			faults = append(faults, lacks(w[i], g[i], fmt.Sprintf("%s.%d", at, i))...)
		}
		return faults
	}
	if same(want, got) {
		return nil
	}
	return []string{fmt.Sprintf("%s: is %s, want %s", at, brief(got), brief(want))}
}

func brief(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%.200s", b)
}

// difference shows two values line by line.
func difference(want, got any) string {
	lines := strings.SplitAfter(string(diff.Diff("want", pretty(want), "got", pretty(alike(want, got)))), "\n")
	return strings.TrimRight(strings.Join(lines[min(1, len(lines)):], ""), "\n") // the first names a command
}

// alike gives a value with the numbers that are the same written as in another, so that only differences show.
func alike(want, got any) any {
	switch g := got.(type) {
	case map[string]any:
		w, _ := want.(map[string]any)
		out := make(map[string]any, len(g))
		for key, v := range g {
			out[key] = alike(w[key], v)
		}
		return out
	case []any:
		w, _ := want.([]any)
		out := slices.Clone(g)
		for i := range min(len(w), len(g)) {
			out[i] = alike(w[i], g[i])
		}
		return out
	}
	if same(want, got) {
		return want
	}
	return got
}

func pretty(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Appendln(nil, v)
	}
	return b.Bytes()
}
