package api

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/attune/attune/pkg/logs"
)

// endless is the last byte that an answer may name which goes on for as long as a log grows (RFC 8673): the largest
// number that every client can count to.
const endless = 1<<53 - 1

// byteRange is what of a log a Range header asks for, as RFC 9110 has it.
type byteRange struct {
	first, last int64 // last is math.MaxInt64 where none is named
	suffix      bool  // of the end so many: first is their number
}

// parseRange reads a Range header. What is no single range of bytes is ignored, as the RFC wants it or allows it.
func parseRange(header string) (byteRange, bool) {
	spec, ok := strings.CutPrefix(strings.TrimSpace(header), "bytes=")
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || !dash || strings.Contains(spec, ",") {
		return byteRange{}, false
	}
	if first == "" {
		n, ok := position(last)
		return byteRange{first: n, suffix: true}, ok
	}
	r := byteRange{last: math.MaxInt64}
	if r.first, ok = position(first); ok && last != "" {
		r.last, ok = position(last)
	}
	return r, ok && r.first <= r.last
}

// position reads a number of a range. One that is too large is behind every log all the same.
func position(digits string) (int64, bool) {
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}

// within gives the bytes of a range that there are, from start to before end. It is false when there are none.
func (r byteRange) within(size int64) (start, end int64, ok bool) {
	if r.suffix {
		return max(size-r.first, 0), size, r.first > 0 && size > 0
	}
	end = size
	if r.last < size {
		end = r.last + 1
	}
	return r.first, end, r.first < size
}

// contentRange words which bytes an answer holds. Of a log that grows nobody knows how long it will be.
func contentRange(start, end int64, e logs.Extent) string {
	if !e.Complete {
		return fmt.Sprintf("bytes %d-%d/*", start, end-1)
	}
	return fmt.Sprintf("bytes %d-%d/%d", start, end-1, e.Bytes)
}
