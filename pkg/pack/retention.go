package pack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Retention says which of an action's logs are kept, besides what the installation says of all. A zero bounds nothing.
type Retention struct {
	Age   time.Duration // since the execution ended, in place of the installation's
	Count int64         // so many of the newest
	Bytes int64         // as many of the newest as take so much in the store
}

// retentionText is the written form: an age alone, or {age, count, bytes}.
type retentionText struct {
	Age   string          `json:"age,omitempty"`
	Count int64           `json:"count,omitempty"`
	Bytes json.RawMessage `json:"bytes,omitempty"`
}

// MarshalJSON gives the written form.
func (r Retention) MarshalJSON() ([]byte, error) {
	t := retentionText{Count: r.Count}
	if r.Age > 0 {
		t.Age = r.Age.String()
	}
	if r.Bytes > 0 {
		t.Bytes = json.RawMessage(strconv.FormatInt(r.Bytes, 10))
	}
	return json.Marshal(t)
}

// UnmarshalJSON reads the written form.
func (r *Retention) UnmarshalJSON(b []byte) (err error) {
	*r = Retention{}
	var age string
	if json.Unmarshal(b, &age) == nil {
		r.Age, err = ParseAge(age)
		return err
	}
	var t retentionText
	if err := json.Unmarshal(b, &t); err != nil {
		return fmt.Errorf("retention %.80s: %w", b, err)
	}
	if t.Age != "" {
		if r.Age, err = ParseAge(t.Age); err != nil {
			return err
		}
	}
	if t.Count < 0 {
		return fmt.Errorf("count %d is not a number of logs", t.Count)
	}
	r.Count = t.Count
	if len(t.Bytes) > 0 {
		r.Bytes, err = ParseSize(string(bytes.Trim(t.Bytes, `"`)))
	}
	return err
}

// ParseAge reads a duration, which may be in days: 30d, 12h.
func ParseAge(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 64)
		if err == nil && n >= 0 && n <= int64(math.MaxInt64/day) {
			return time.Duration(n) * day, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%.40q is not an age such as 30d or 12h", text)
}

// ParseSize reads a number of bytes, which may have a unit: 1048576, 1MiB, 10GB.
func ParseSize(text string) (int64, error) {
	number, factor := text, int64(1)
	for i, unit := range []string{"K", "M", "G", "T"} {
		binary, decimal := int64(1)<<(10*(i+1)), int64(math.Pow10(3*(i+1)))
		if n, ok := strings.CutSuffix(text, unit+"iB"); ok {
			number, factor = n, binary
		} else if n, ok := strings.CutSuffix(text, unit+"B"); ok {
			number, factor = n, decimal
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return 0, fmt.Errorf("%.40q is not a size such as 512MiB or 1073741824", text)
	}
	return n * factor, nil
}

// checkRetention checks what an action says of which logs are kept.
func (d *document) checkRetention() {
	raw := d.get("logs", "retention")
	if raw == nil {
		return
	}
	path := []string{"logs", "retention"}
	b, err := json.Marshal(raw)
	var r Retention
	if err == nil {
		err = r.UnmarshalJSON(b)
	}
	switch {
	case err != nil:
		d.at(codeDuration, path, "logs.retention: %s", err)
	case r.Age != 0 && r.Age < time.Minute || r.Age > maxRetention:
		d.at(codeDuration, path, "logs.retention: age must be between %s and %s", time.Minute, maxRetention)
	}
}
