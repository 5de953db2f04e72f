package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/attune/attune/pkg/bus"
	"github.com/attune/attune/services/attune/bench/figure"
	"github.com/attune/attune/streams"
)

// The pack of this measurement, with rules that match nothing.
const (
	decidePack     = "decide"
	triggerOne     = "one"     // a rule looks at it
	triggerHundred = "hundred" // a hundred rules look at it
	hundred        = 100
)

// rulesInPack is how many rules on other triggers one pack has, and rulesOnTrigger how many look at one of these.
const (
	rulesInPack    = 500
	rulesOnTrigger = 10
)

// decisions is the measurement of deciding.
type decisions struct {
	*session
	events, hundredth, batched int
	sites                      []*decisionSite
}

// decisionSite is an instance with so many rules that are not asked.
type decisionSite struct {
	others int
	*instance
}

// eventsMode measures events that lead to nothing but decisions.
func eventsMode(f *flag.FlagSet) measure {
	events := f.Int("events", 5000, "events for one rule in each round")
	hundredth := f.Int("events100", 3000, "events for a hundred rules in each round")
	batched := f.Int("batched", 30_000, "likewise, published in batches")
	others := f.String("others", "0,1000,10000", "numbers of rules on other triggers")
	return func(ctx context.Context, s *session) (err error) {
		d := &decisions{session: s, events: *events, hundredth: *hundredth, batched: *batched}
		defer func() { err = keep(err, d.stop()) }()
		counts, err := numbers(*others)
		if err != nil {
			return err
		}
		for _, n := range counts {
			if err := d.open(ctx, n); err != nil {
				return err
			}
		}
		s.run.Note("Events come over NATS as fast as they can be published, each with a sync of the disk of its own, or in atomic batches with one for each; their rate counts until the last decision is on the bus, that of decisions until all are in PostgreSQL.")
		return s.each(func(int) error { return d.round(ctx) })
	}
}

// numbers reads a list of at least one number.
func numbers(list string) (all []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%w: %q is not a list of numbers", errUsage, list)
		}
		all = append(all, n)
	}
	return all, nil
}

func (d *decisions) open(ctx context.Context, others int) error {
	d.say("an instance with %d rules on other triggers", others)
	in, err := d.start(ctx, "attune-"+strconv.Itoa(others))
	if err != nil {
		return err
	}
	d.sites = append(d.sites, &decisionSite{others: others, instance: in})
	folder := filepath.Join(in.dir, decidePack)
	if err := writeFiles(folder, decideFiles()); err != nil {
		return err
	}
	if err := in.installFolder(ctx, folder); err != nil {
		return err
	}
	if err := in.defineRules(ctx, others); err != nil {
		return err
	}
	_, err = in.decide(ctx, hundred, 1, triggerHundred) // with expressions and connections ready
	return err
}

func decideFiles() map[string]string {
	conditions := []string{ // of the simplest kind, and of one that takes more
		"when: event.payload.host == \"nobody\"\naction: core.noop\n",
		"when: event.payload.host.startsWith(\"nobody\") && event.payload.state == \"down\"\naction: core.noop\n",
	}
	files := map[string]string{
		"pack.yaml":             "name: " + decidePack + "\nversion: 1.0.0\ndescription: Rules that match nothing.\n",
		"triggers/one.yaml":     "description: A rule looks at it.\n",
		"triggers/hundred.yaml": "description: A hundred rules look at it.\n",
		"rules/one.yaml":        "trigger: decide.one\n" + conditions[1],
	}
	for i := range hundred {
		files[fmt.Sprintf("rules/hundred%d.yaml", i)] = "trigger: decide.hundred\n" + conditions[i%len(conditions)]
	}
	return files
}

// defineRules installs packs with so many rules in all, on triggers of their own.
func (in *instance) defineRules(ctx context.Context, rules int) error {
	for n := 0; n < rules; n += rulesInPack {
		name := "others" + strconv.Itoa(n)
		files := map[string]string{"pack.yaml": "name: " + name + "\nversion: 1.0.0\ndescription: Rules that are not asked.\n"}
		for i := range min(rulesInPack, rules-n) {
			trigger := fmt.Sprintf("t%d", i/rulesOnTrigger)
			files["triggers/"+trigger+".yaml"] = "description: It does not happen.\n"
			files[fmt.Sprintf("rules/r%d.yaml", i)] = fmt.Sprintf("trigger: %s.%s\nwhen: event.payload.host == \"web%d\"\naction: core.noop\n", name, trigger, i)
		}
		folder := filepath.Join(in.dir, name)
		if err := writeFiles(folder, files); err != nil {
			return err
		}
		if err := in.installFolder(ctx, folder); err != nil {
			return err
		}
	}
	return nil
}

func (d *decisions) stop() (err error) {
	for _, s := range d.sites {
		err = keep(err, s.instance.stop())
	}
	return err
}

func (d *decisions) round(ctx context.Context) error {
	var first outcome
	for i, s := range d.sites {
		got, err := s.decide(ctx, d.events, 1, triggerOne)
		if err != nil {
			return err
		}
		if i == 0 {
			first = got
		}
		d.add(s, got, first)
	}
	alone, err := d.sites[0].decide(ctx, d.hundredth, 1, triggerHundred)
	if err != nil {
		return err
	}
	d.addEvents("a hundred rules for each event", d.hundredth, alone)
	batched, err := d.sites[0].decide(ctx, d.batched, bus.MaxBatch, triggerHundred)
	if err != nil {
		return err
	}
	d.addEvents(fmt.Sprintf("a hundred rules for each event, in batches of %d", bus.MaxBatch), d.batched, batched)
	return nil
}

// addEvents notes how n events fared.
func (d *decisions) addEvents(name string, n int, got outcome) {
	d.run.Add(figure.Figure{Name: name + ": events", Unit: "/s"}, got.rate)
	d.run.Add(figure.Figure{Name: name + ": decisions in PostgreSQL", Unit: "/s"}, float64(n)/got.whole.Seconds())
	d.run.Add(figure.Figure{Name: name + ": processor time of an event, services", Unit: "µs"}, per(got.cost.services, n))
	d.run.Add(figure.Figure{Name: name + ": processor time of an event, PostgreSQL", Unit: "µs"}, per(got.cost.database, n))
}

func (d *decisions) add(s *decisionSite, got, first outcome) {
	plot := figure.Plot{Name: "by-other-rules", Title: "What an event costs, by the number of rules on other triggers", X: "rules on other triggers", Y: "µs for each event"}
	d.run.Point(plot, "processor time, services", float64(s.others), per(got.cost.services, d.events))
	d.run.Point(plot, "processor time, PostgreSQL", float64(s.others), per(got.cost.database, d.events))
	name := figure.Count(s.others) + " rules on other triggers"
	if s.others == 0 {
		name = "no rules on other triggers"
	} else {
		d.run.Ratio(name+": processor time of an event", "without them", float64(got.cost.services), float64(first.cost.services), "")
	}
	d.addEvents(name, d.events, got)
}

// publishEvents publishes n events in atomic batches of so many.
func (in *instance) publishEvents(ctx context.Context, subject string, n, together int) error {
	for n > 0 {
		msgs := make([]*nats.Msg, min(n, together))
		for i := range msgs {
			msgs[i] = &nats.Msg{Subject: subject, Data: []byte(`{"host":"web1","state":"down"}`)}
		}
		if together == 1 { // as fast as they can be sent, whatever the server says
			if err := in.bus.Conn.PublishMsg(msgs[0]); err != nil {
				return err
			}
		} else if _, err := in.bus.PublishBatch(ctx, msgs); err != nil {
			return err
		}
		n -= len(msgs)
	}
	return nil
}

// decide publishes n events, in batches of so many, and waits for the decisions about them and for history to have them.
func (in *instance) decide(ctx context.Context, n, together int, trigger string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, max(burstPatience, time.Duration(n)*perExecution))
	defer cancel()
	subject, err := streams.EventSubject(decidePack, trigger)
	if err != nil {
		return outcome{}, err
	}
	decided := make(chan struct{}, n)
	sub, err := in.bus.Conn.Subscribe(streams.AllDecisions, func(*nats.Msg) { decided <- struct{}{} })
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection closes soon
	before := in.usage()
	began := time.Now()
	if err := in.publishEvents(ctx, subject, n, together); err != nil {
		return outcome{}, err
	}
	for i := range n {
		select {
		case <-decided:
		case <-ctx.Done():
			return outcome{}, fmt.Errorf("%d of %d events decided: %w", i, n, ctx.Err())
		}
	}
	ended := time.Now()
	if err := in.recorded(ctx, decidedSince, began, n); err != nil {
		return outcome{}, err
	}
	return outcome{
		rate: float64(n) / ended.Sub(began).Seconds(), lag: time.Since(ended), whole: time.Since(began), cost: in.usage().minus(before),
	}, nil
}
