package access

import "slices"

// Verb is what is done.
type Verb string

// The verbs.
const (
	View       Verb = "view"
	Run        Verb = "run"     // request an execution of an action
	Use        Verb = "use"     // let an action have the value of a secret
	Operate    Verb = "operate" // steer what there is: publish, cancel, pause, enable, restart
	Edit       Verb = "edit"    // change what is defined: packs with their code, configuration, secrets
	Administer Verb = "admin"   // say who may do what
)

// Verbs are all of them.
func Verbs() []Verb { return []Verb{View, Run, Use, Operate, Edit, Administer} }

// Kind is a kind of thing.
type Kind string

// The kinds. All but the last row are things of packs; secrets are either.
const (
	Actions    Kind = "actions"
	Events     Kind = "events"
	Executions Kind = "executions" // with their logs
	Packs      Kind = "packs"
	Queues     Kind = "queues"
	Rules      Kind = "rules"
	Secrets    Kind = "secrets"
	Sensors    Kind = "sensors"
	Triggers   Kind = "triggers"
	Webhooks   Kind = "webhooks"

	Audit   Kind = "audit"
	Metrics Kind = "metrics"
	Runners Kind = "runners"
	Tokens  Kind = "tokens"
	Users   Kind = "users"
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{Actions, Audit, Events, Executions, Metrics, Packs, Queues, Rules, Runners, Secrets, Sensors, Tokens, Triggers, Users, Webhooks}
}

// Right is what an operation asks for: a verb on a kind.
type Right struct {
	Verb Verb
	Kind Kind
}

func (r Right) String() string { return string(r.Verb) + " " + string(r.Kind) }

// known tells whether a right can mean anything: not every verb can be done to every kind.
func (r Right) known() bool { return slices.Contains(verbsOf[r.Kind], r.Verb) }

// verbsOf says what can be done to each kind.
var verbsOf = map[Kind][]Verb{
	Actions:    {View, Run},
	Audit:      {View},
	Events:     {View, Operate},
	Executions: {View, Operate},
	Metrics:    {View},
	Packs:      {View, Operate, Edit},
	Queues:     {View, Operate},
	Rules:      {View, Operate, Edit},
	Runners:    {View, Operate},
	Secrets:    {View, Use, Edit},
	Sensors:    {View, Operate},
	Tokens:     {View, Administer},
	Triggers:   {View},
	Users:      {View, Administer},
	Webhooks:   {View, Operate, Edit},
}
