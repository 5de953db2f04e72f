package pack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/schema"
)

// Bounds of what an action says of its waiting and a rule of its windows.
const (
	maxWait   = 30 * 24 * time.Hour
	maxWindow = 30 * 24 * time.Hour
)

// checkTerms checks when executions of an action start, and when they are tried again.
func (d *document) checkTerms() {
	d.checkDuration(time.Millisecond, maxWait, "queue_timeout")
	if text, ok := d.text("rate"); ok {
		if _, err := ParseRate(text); err != nil {
			d.at(codeRate, []string{"rate"}, "%v", err)
		}
	}
	if d.get("retry") != nil {
		d.checkRetry()
	}
}

func (d *document) checkRetry() {
	d.checkDuration(0, maxWait, "retry", "delay")
	d.checkDuration(time.Millisecond, maxWait, "retry", "max_delay")
	d.checkBackoff()
	delay, bound := d.duration("retry", "delay"), d.duration("retry", "max_delay")
	if bound > 0 && delay > bound {
		d.at(codeRetry, []string{"retry", "max_delay"}, "retry.max_delay: must not be less than delay: %s is less than %s", bound, delay)
	}
	if d.get("retry", "delay") == nil {
		for _, key := range []string{"backoff", "max_delay", "jitter"} {
			if d.get("retry", key) != nil {
				d.at(codeRetry, []string{"retry", key}, "retry.%s: changes nothing without a delay; add one, such as delay: 10s", key)
			}
		}
	}
	if d.get("retry", "order") == string(RetryHold) && d.get("concurrency") == nil {
		d.at(codeRetry, []string{"retry", "order"}, "retry.order: hold is pointless without a limit: there is no slot to keep and nobody "+
			"waits behind it; add concurrency: {limit: 1}, or leave order out")
	}
}

// duration gives a duration; 0 for none, and for one that is reported elsewhere.
func (d *document) duration(path ...string) time.Duration {
	text, _ := d.text(path...)
	v, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return v
}

func (d *document) checkBackoff() {
	path := []string{"retry", "backoff"}
	complain := func() {
		d.at(codeRetry, path, "retry.backoff: must be a number from 1 on, constant (1) or exponential (2)%s", d.not(path))
	}
	switch v := d.get(path...).(type) {
	case string:
		if v != "constant" && v != "exponential" {
			complain()
		}
	case fmt.Stringer: // a number
		if n, err := strconv.ParseFloat(v.String(), 64); err != nil || n < 1 || n > maxBackoff {
			complain()
		}
	}
}

// checkOncePer checks the windows of a rule.
func (d *document) checkOncePer() {
	d.checkDuration(time.Second, maxWindow, "once_per", "window")
	if key, ok := d.text("once_per", "key"); ok && key != "" {
		_, err := expression.NewEventKey(key)
		d.checkCEL([]string{"once_per", "key"}, err)
	}
}

// valued begin the messages of a schema that are clearer with the value that they are about.
var valued = []string{"must be at least ", "must be at most ", "must be one of "}

// instead gives the value that a fault is about, where its message does not say it.
func (d *document) instead(f schema.Fault) string {
	if slices.ContainsFunc(valued, func(begin string) bool { return strings.HasPrefix(f.Message, begin) }) {
		return d.not(f.Path)
	}
	return ""
}

// not gives ", not VALUE" for the scalar at a path, as its author wrote it.
func (d *document) not(path []string) string {
	n := d.places[pointer(path)].value
	switch {
	case n == nil || n.Kind != yaml.ScalarNode:
		return ""
	case n.ShortTag() == "!!str":
		return fmt.Sprintf(", not %.60q", n.Value)
	default:
		return fmt.Sprintf(", not %.60s", n.Value)
	}
}

// remedies are what to do about a fault of a field, where its message does not tell.
var remedies = map[string]string{
	"concurrency":       "write concurrency: {limit: 5}, or leave it out for no limit",
	"concurrency.limit": "leave concurrency out for no limit",
	"rate":              "write rate: 10/m",
	"resources":         "write resources: {memory: 512m, pids: 100, cpu: 0.5}",
	"resources.memory":  "write memory: 512m",
	"warm":              "write warm: 2",
	"retry":             "write retry: {attempts: 3, delay: 10s}",
	"retry.attempts":    "it counts the first attempt too; leave retry out for one attempt",
	"retry.jitter":      "it is the part of the delay that is random, such as 0.2",
	"retry.on":          "leave on out for failed and timed_out",
	"once_per":          "write once_per: {key: event.payload.host, window: 10m}",
	"once_per.window":   "write window: 10m",
}

// remedy gives what to do about a fault; "" where its message tells.
func remedy(f schema.Fault) string {
	field := f.Field()
	if strings.HasPrefix(field, "retry.on.") {
		field = "retry.on"
	}
	switch text, ok := remedies[field]; {
	case strings.HasSuffix(f.Message, "is not a known property"):
		return ""
	case ok:
		return text
	case strings.HasPrefix(f.Message, "must be text, not "):
		return "write it in quotes"
	default:
		return ""
	}
}
