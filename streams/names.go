package streams

import "time"

// The streams.
const (
	Events     = "EVENTS"
	Decisions  = "DECISIONS"
	Executions = "EXECUTIONS"
	Queue      = "QUEUE"
	Runs       = "RUNS"
	Logs       = "LOGS"
)

// The key-value buckets.
const (
	BucketRunners = "RUNNERS" // liveness of runners: RunnerInfo by runner's name; entries expire
	BucketLeases  = "LEASES"  // who leads: one entry per service; entries expire
	BucketQueues  = "QUEUES"  // what operators said: QueueControl by "pack.action", "pack" or ScopeAll
	BucketTimers  = "TIMERS"  // the last tick of each timer, by "pack.trigger"
	BucketOnce    = "ONCE"    // what once_per let through: Once by OnceKey; entries expire with their window
	BucketRates   = "RATES"   // token buckets: RateState by RateKey; entries expire when they are full

	BucketInstalls     = "INSTALLS"     // versions of packs that runners must have ready: Install by digest
	BucketEnvironments = "ENVIRONMENTS" // how far runners are with them: Environment by EnvironmentKey
	BucketPlacements   = "PLACEMENTS"   // what executions ask of their runner: Placement by pool token
	BucketConfigs      = "CONFIGS"      // configuration of packs as installations set it: a JSON object by pack
	BucketSensors      = "SENSORS"      // sensor processes: SensorState by "pack.sensor"
	BucketAudit        = "AUDIT"        // the newest row of the audit, so that a cut off end is found
)

// The object store buckets.
const (
	ObjectsLogs  = "LOGS"  // stored output: "<execution>/stdout.0000.zst" and "<execution>/manifest.json"
	ObjectsPacks = "PACKS" // pack archives by digest
)

// Durable consumers.
const (
	// ConsumerRecorder is the recorder's consumer on EVENTS, DECISIONS and EXECUTIONS.
	ConsumerRecorder = "recorder"
	// ConsumerForward is the consumer on LOGS by which output is forwarded; it exists while that is configured.
	ConsumerForward = "forward"
	// ConsumerPoolPrefix begins the name of a pool's consumer on RUNS: "pool_default".
	ConsumerPoolPrefix = "pool_"
)

// DefaultPool is the pool whose consumer Ensure makes; runners of other pools make theirs.
const DefaultPool = "default"

// Lifetimes of entries that must be renewed.
const (
	// RunnerTTL is how long a runner is believed to live without a heartbeat.
	RunnerTTL = 10 * time.Second
	// RunnerHeartbeat is how often a runner renews its entry.
	RunnerHeartbeat = 2 * time.Second
	// RunnerGiveUp is when a runner that cannot renew must assume that it was given up: before RunnerTTL, so
	// that its processes are gone when the leader calls them lost.
	RunnerGiveUp = 8 * time.Second
	// LeaseTTL is how long a leader is believed to live without renewing.
	LeaseTTL = 3 * time.Second
)

// RunAckWait is how long a runner may take from receiving a dispatch to acknowledging it after its claim.
// After a restart the server counts a second short, so it is not less than 15 s.
const RunAckWait = 15 * time.Second

// Headers of our messages.
const (
	HeaderEventID     = "Attune-Event-Id"      // EVENTS: the id that the publisher gave
	HeaderSource      = "Attune-Source"        // EVENTS: who published it: "webhook", "api", "timer:core.x"
	HeaderHops        = "Attune-Hops"          // EVENTS: how many rules led to this event
	HeaderEventSeq    = "Attune-Event-Seq"     // DECISIONS: the event's sequence in EVENTS
	HeaderStatus      = "Attune-Status"        // EXECUTIONS: the fact's status
	HeaderAttempt     = "Attune-Attempt"       // EXECUTIONS, QUEUE: decimal
	HeaderRunner      = "Attune-Runner"        // EXECUTIONS: the runner of a fact since the claim
	HeaderStartedAt   = "Attune-Started-At"    // EXECUTIONS: when that runner claimed it, by its clock; RFC 3339 with fractions
	HeaderKey         = "Attune-Key"           // QUEUE: the concurrency key as given, base64url
	HeaderLimit       = "Attune-Limit"         // QUEUE: the action's limit when this was requested; 0: none
	HeaderPool        = "Attune-Pool"          // QUEUE: the pool of runners
	HeaderRequestedAt = "Attune-Requested-At"  // QUEUE: when this attempt may start at the earliest; RFC 3339 with fractions
	HeaderPriority    = "Attune-Priority"      // QUEUE: high or low; absent: normal
	HeaderPackLimit   = "Attune-Pack-Limit"    // QUEUE: the pack's limit when this was requested; absent: none
	HeaderRate        = "Attune-Rate"          // QUEUE: the action's rate; absent: none
	HeaderTimeout     = "Attune-Queue-Timeout" // QUEUE: seconds; absent: none
	HeaderReject      = "Attune-Reject"        // QUEUE: "true": it starts at once or not at all
	HeaderNotBefore   = "Attune-Not-Before"    // EXECUTIONS: of a requested fact, when it may start; RFC 3339 with fractions
	HeaderHold        = "Attune-Hold"          // EXECUTIONS: "true" on the requested fact of an attempt that keeps its slot
	HeaderOffset      = "Attune-Offset"        // LOGS: byte offset of this chunk in its stream
	HeaderTime        = "Attune-Time"          // LOGS: when the chunk was read, RFC 3339 with fractions
	HeaderEnd         = "Attune-End"           // LOGS: "true" on the last, empty, message of a stream
	HeaderAction      = "Attune-Action"        // LOGS: the action of the execution, "pack.name"; absent: of a version before, or no execution's
	HeaderSensor      = "Attune-Sensor"        // LOGS: the sensor that writes, likewise
	HeaderPack        = "Attune-Pack"          // LOGS: the pack that is installed
)

// PoolConsumer names the durable consumer of a pool on RUNS.
func PoolConsumer(pool string) (string, error) {
	if _, err := Token(pool); err != nil {
		return "", err
	}
	return ConsumerPoolPrefix + pool, nil
}
