package streams

import (
	"errors"
	"fmt"
	"slices"
)

// The users of an installation's account on the bus: one for each service, one that makes streams, and one for
// people, who may do everything.
const (
	UserPeople    = "attune"
	UserSetup     = "setup"
	UserAPI       = "api"
	UserSensors   = "sensors"
	UserRules     = "rules"
	UserScheduler = "scheduler"
	UserRunner    = "runner"
	UserRecorder  = "recorder"
)

// Users lists them.
func Users() []string {
	return []string{UserPeople, UserSetup, UserAPI, UserSensors, UserRules, UserScheduler, UserRunner, UserRecorder}
}

// ErrNoUser is returned for a name that is none of Users.
var ErrNoUser = errors.New("no such user of the bus")

// Permissions is what a user may do: subjects that it may publish to and subscribe to. Without any it may do
// everything.
type Permissions struct {
	Publish   []string
	Subscribe []string
	Responds  bool // it may answer requests that it was sent
}

// PermissionsOf gives what a user of the installation needs and no more. Whoever holds the credential of a runner
// can run what is dispatched, and sees the parameters of every execution; it cannot dispatch, admit, decide or
// publish events, read who waits, lead, or have a secret opened for another runner.
func PermissionsOf(user string) (Permissions, error) {
	p, ok := granted[user]
	if !ok {
		return Permissions{}, fmt.Errorf("user %.40q: %w", user, ErrNoUser)
	}
	if user == UserPeople {
		return Permissions{}, nil
	}
	p.Publish = append([]string{apiPrefix + "INFO"}, p.Publish...)
	if user != UserRunner {
		p.Publish = append(p.Publish, apiPrefix+"STREAM.INFO.*", apiPrefix+"CONSUMER.INFO.*.*") // what Check asks
	}
	p.Subscribe = append([]string{InboxPrefix(ConnectionName(user)) + ".>"}, p.Subscribe...)
	return p, nil
}

// ConnectionName is what a user calls its connections.
func ConnectionName(user string) string { return "attune-" + user }

// InboxPrefix begins the subjects that replies to a connection come to. Nobody but its user hears them, people excepted.
func InboxPrefix(connection string) string { return "_INBOX." + connection }

var granted = map[string]Permissions{
	UserPeople: {},
	UserSetup:  {Publish: slices.Concat(makes(), reads(Events, Decisions, Executions, Queue, Runs, Logs))},
	UserAPI: {
		Publish: slices.Concat(
			reads(Events, Decisions, Executions, Queue, Logs), readsBuckets(Buckets()...), readsObjects(ObjectsLogs, ObjectsPacks),
			[]string{AllEvents, AllExecutions, AllQueued, "attune.rpc.>"},
			writesBuckets(BucketQueues, BucketConfigs, BucketInstalls, BucketEnvironments, BucketPlacements, BucketAudit), leases("installer", "canary"),
			writesObjects(ObjectsPacks), purges("OBJ_"+ObjectsPacks),
		),
		Subscribe: []string{RPCSecret, AllExecutions, AllLogs},
		Responds:  true,
	},
	UserSensors: {
		Publish: slices.Concat(
			reads(Events), readsBuckets(BucketTimers, BucketSensors, BucketLeases, BucketConfigs), readsObjects(ObjectsPacks),
			[]string{AllEvents, RPCSecret}, writesBuckets(BucketTimers, BucketSensors), leases("sensors", "sensors.*"),
			reads(Logs), readsObjects(ObjectsLogs), []string{AllLogs}, writesObjects(ObjectsLogs), purges(Logs, "OBJ_"+ObjectsLogs),
		),
		Subscribe: []string{AllSensorRestarts},
		Responds:  true,
	},
	UserRules: {
		Publish: slices.Concat(
			reads(Events, Decisions, Executions), readsBuckets(BucketOnce, BucketLeases), purges(Events),
			[]string{AllDecisions, AllRuleSets, AllExecutions, AllQueued}, writesBuckets(BucketOnce), leases("rules"),
		),
	},
	UserScheduler: {
		Publish: slices.Concat(
			reads(Executions, Queue, Runs), readsBuckets(BucketRunners, BucketQueues, BucketRates, BucketPlacements, BucketLeases),
			[]string{AllExecutions, AllQueued, AllRuns}, writesBuckets(BucketRates, BucketQueues), leases("scheduler"), purges(Queue, Runs),
		),
		Subscribe: []string{RPCQueueList, RPCQueueShow, RPCQueueStats, RPCQueuePosition},
		Responds:  true,
	},
	UserRecorder: {
		Publish: slices.Concat(
			reads(Events, Decisions, Executions), []string{AllExecutions, AllQueued, prefixEvent + ".core.*"}, // ends are events
			deletes(Executions),
			reads(Logs), readsObjects(ObjectsLogs), writesObjects(ObjectsLogs), purges("OBJ_"+ObjectsLogs), // what runners left
			// Logs are removed when no policy keeps them, those of sensors and installations that do not exist any more too.
			readsBuckets(BucketLeases, BucketSensors), leases("recorder", "retention"), deletes(Logs),
			[]string{apiPrefix + "CONSUMER.RESET." + Logs + "." + ConsumerForward}, // to forward output
		),
	},
	UserRunner: {
		Publish: slices.Concat(
			// Of EXECUTIONS single messages, never the stream as a whole.
			[]string{apiPrefix + "STREAM.INFO." + Executions, apiPrefix + "DIRECT.GET." + Executions, apiPrefix + "DIRECT.GET." + Executions + ".>"},
			worksOff(Runs), []string{apiPrefix + "STREAM.INFO." + Logs, apiPrefix + "DIRECT.GET." + Logs, apiPrefix + "DIRECT.GET." + Logs + ".>"},
			readsObjects(ObjectsLogs, ObjectsPacks),
			readsBuckets(BucketRunners, BucketInstalls, BucketEnvironments, BucketPlacements, BucketConfigs),
			[]string{AllExecutions, AllLogs, RPCSecret}, writesBuckets(BucketRunners, BucketEnvironments),
			writesObjects(ObjectsLogs, ObjectsPacks),
		),
		Subscribe: []string{AllExecutions},
	},
}

const apiPrefix = "$JS.API."

// makes is what Ensure and Check ask for.
func makes() (all []string) {
	for _, verb := range []string{"STREAM.CREATE", "STREAM.UPDATE", "STREAM.INFO"} {
		all = append(all, apiPrefix+verb+".*")
	}
	return append(all, apiPrefix+"STREAM.NAMES", apiPrefix+"STREAM.LIST")
}

// reads lets a user follow streams and get their messages.
func reads(names ...string) (all []string) {
	for _, s := range names {
		all = append(all,
			apiPrefix+"STREAM.INFO."+s, apiPrefix+"STREAM.MSG.GET."+s, apiPrefix+"DIRECT.GET."+s, apiPrefix+"DIRECT.GET."+s+".>",
			apiPrefix+"CONSUMER.CREATE."+s, apiPrefix+"CONSUMER.CREATE."+s+".>", apiPrefix+"CONSUMER.INFO."+s+".*",
			apiPrefix+"CONSUMER.DELETE."+s+".*", apiPrefix+"CONSUMER.MSG.NEXT."+s+".*", "$JS.ACK."+s+".>", "$JS.FC."+s+".>")
	}
	return all
}

// worksOff lets a user take what is on a work queue, through consumers that it may make.
func worksOff(s string) []string {
	return []string{
		apiPrefix + "CONSUMER.CREATE." + s + ".>", apiPrefix + "CONSUMER.INFO." + s + ".*", apiPrefix + "CONSUMER.DELETE." + s + ".*",
		apiPrefix + "CONSUMER.MSG.NEXT." + s + ".*", "$JS.ACK." + s + ".>",
	}
}

func readsBuckets(names ...string) (all []string) {
	for _, b := range names {
		all = append(all, reads("KV_"+b)...)
	}
	return all
}

func readsObjects(names ...string) (all []string) {
	for _, b := range names {
		all = append(all, reads("OBJ_"+b)...)
	}
	return all
}

func writesBuckets(names ...string) (all []string) {
	for _, b := range names {
		all = append(all, "$KV."+b+".>")
	}
	return all
}

func writesObjects(names ...string) (all []string) {
	for _, b := range names {
		all = append(all, "$O."+b+".>")
	}
	return all
}

// leases lets a user lead under certain names, so that no service can take another's place.
func leases(keys ...string) (all []string) {
	for _, k := range keys {
		all = append(all, "$KV."+BucketLeases+"."+k)
	}
	return all
}

func purges(names ...string) (all []string) {
	for _, s := range names {
		all = append(all, apiPrefix+"STREAM.PURGE."+s, apiPrefix+"STREAM.MSG.DELETE."+s)
	}
	return all
}

func deletes(names ...string) (all []string) {
	for _, s := range names {
		all = append(all, apiPrefix+"STREAM.MSG.DELETE."+s)
	}
	return all
}

// Buckets lists the key-value buckets.
func Buckets() (names []string) {
	for _, b := range DeclaredBuckets(Options{}) {
		names = append(names, b.Bucket)
	}
	return names
}
