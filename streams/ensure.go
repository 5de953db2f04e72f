package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Options are what an installation may choose about its streams. The zero value is right for one server.
type Options struct {
	Replicas  int           // copies of every stream; 0 means 1
	EventsMax int64         // bytes of EVENTS; new events are refused beyond; 0 means 2 GiB
	EventsAge time.Duration // 0 means 7 days
	LogsMax   int64         // bytes of live output; the oldest is dropped beyond; 0 means 1 GiB
	Embedded  bool          // the server runs in the process of the services, and ends with it
}

// DedupWindow is how long EVENTS refuses a second event with the same Nats-Msg-Id.
const DedupWindow = 2 * time.Minute

// LiveAge is how long live output stays in LOGS. Stored segments serve what is older.
const LiveAge = 24 * time.Hour

func (o Options) withDefaults() Options {
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.EventsMax == 0 {
		o.EventsMax = 2 << 30
	}
	if o.EventsAge == 0 {
		o.EventsAge = 7 * 24 * time.Hour
	}
	if o.LogsMax == 0 {
		o.LogsMax = 1 << 30
	}
	return o
}

// Declared lists the streams as they ought to be.
func Declared(o Options) []jetstream.StreamConfig {
	o = o.withDefaults()
	all := []jetstream.StreamConfig{
		{
			Name: Events, Subjects: []string{AllEvents}, Description: "what happened",
			MaxAge: o.EventsAge, MaxBytes: o.EventsMax, Discard: jetstream.DiscardNew, Duplicates: DedupWindow, AllowAtomicPublish: true,
		},
		{
			Name: Decisions, Subjects: []string{AllDecisions, AllRuleSets}, Description: "what every rule decided about each event",
			MaxAge: o.EventsAge, MaxBytes: o.EventsMax, AllowAtomicPublish: true,
		},
		{
			Name: Executions, Subjects: []string{AllExecutions}, Description: "the state of every execution: the last message of its subject",
			Discard: jetstream.DiscardNew, AllowAtomicPublish: true,
		},
		{
			Name: Queue, Subjects: []string{AllQueued}, Description: "who waits or runs, in the order of request",
			MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, AllowAtomicPublish: true,
		},
		{
			Name: Runs, Subjects: []string{AllRuns}, Description: "admitted, waiting for a runner to claim them",
			Retention: jetstream.WorkQueuePolicy, MaxMsgsPerSubject: 1, AllowAtomicPublish: o.Replicas > 1,
			PersistMode: repaired(o),
		},
		{
			Name: Logs, Subjects: []string{AllLogs}, Description: "output of running executions",
			MaxAge: LiveAge, MaxBytes: o.LogsMax, PersistMode: repaired(o),
		},
	}
	for i := range all {
		all[i].Storage = jetstream.FileStorage
		all[i].Replicas = o.Replicas
		all[i].AllowDirect = true
	}
	return all
}

// repaired is the persistence of streams whose loss at a power failure is repaired (RUNS: the leader
// dispatches again) or bounded (LOGS). The server offers the faster mode to streams without replicas only.
func repaired(o Options) jetstream.PersistModeType {
	if o.Replicas > 1 {
		return jetstream.DefaultPersistMode
	}
	return jetstream.AsyncPersistMode
}

// DeclaredBuckets lists the key-value buckets as they ought to be.
func DeclaredBuckets(o Options) []jetstream.KeyValueConfig {
	o = o.withDefaults()
	return []jetstream.KeyValueConfig{
		{Bucket: BucketRunners, Replicas: o.Replicas, TTL: RunnerTTL, LimitMarkerTTL: time.Minute, Description: "runners that live"},
		{Bucket: BucketLeases, Replicas: o.Replicas, TTL: LeaseTTL, LimitMarkerTTL: time.Minute, Description: "who leads"},
		{Bucket: BucketQueues, Replicas: o.Replicas, Description: "what operators said of a queue"},
		{Bucket: BucketTimers, Replicas: o.Replicas, Description: "the last tick of each timer"},
		{Bucket: BucketOnce, Replicas: o.Replicas, LimitMarkerTTL: time.Minute, Description: "what once_per let through"},
		{Bucket: BucketRates, Replicas: o.Replicas, LimitMarkerTTL: time.Minute, Description: "token buckets"},
		{Bucket: BucketInstalls, Replicas: o.Replicas, Description: "versions of packs that runners must have ready"},
		{Bucket: BucketEnvironments, Replicas: o.Replicas, Description: "how far runners are with them"},
		{Bucket: BucketPlacements, Replicas: o.Replicas, Description: "what executions ask of their runner"},
		{Bucket: BucketConfigs, Replicas: o.Replicas, Description: "configuration of packs"},
		{Bucket: BucketSensors, Replicas: o.Replicas, Description: "sensor processes"},
		{Bucket: BucketAudit, Replicas: o.Replicas, Description: "newest row of the audit"},
	}
}

// DeclaredObjects lists the object store buckets as they ought to be.
func DeclaredObjects(o Options) []jetstream.ObjectStoreConfig {
	o = o.withDefaults()
	return []jetstream.ObjectStoreConfig{
		{Bucket: ObjectsLogs, Replicas: o.Replicas, Description: "stored output of executions"},
		{Bucket: ObjectsPacks, Replicas: o.Replicas, Description: "pack archives by digest"},
	}
}

// PoolConsumerConfig is the consumer that a pool's runners share. Deliveries are unlimited: a work queue
// would keep a message that ran out of them for ever, undelivered.
func PoolConsumerConfig(pool string) (jetstream.ConsumerConfig, error) {
	name, err := PoolConsumer(pool)
	if err != nil {
		return jetstream.ConsumerConfig{}, err
	}
	filter, err := PoolSubject(pool)
	if err != nil {
		return jetstream.ConsumerConfig{}, err
	}
	return jetstream.ConsumerConfig{
		Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: RunAckWait, MaxDeliver: -1, MaxAckPending: 10_000, MaxWaiting: maxWaiting,
	}, nil
}

// maxWaiting is how many requests for work a pool's runners may have open, one for each free slot. The server's own
// bound is 512, beyond which it refuses them.
const maxWaiting = 1 << 16

// RecorderConsumerConfig is the recorder's consumer on one of EVENTS, DECISIONS and EXECUTIONS.
func RecorderConsumerConfig() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: ConsumerRecorder, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: time.Minute, MaxDeliver: -1, MaxAckPending: 10_000,
	}
}

// ForwardConsumerConfig is the consumer on LOGS that forwards output. One reader acknowledges all messages up to one.
// LOGS keeps nothing back for it.
func ForwardConsumerConfig() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: ConsumerForward, AckPolicy: jetstream.AckAllPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: time.Minute, MaxDeliver: -1, MaxAckPending: 100_000,
	}
}

// Ensure makes or updates every stream, bucket and consumer. It is safe to call from many processes at once.
func Ensure(ctx context.Context, js jetstream.JetStream, o Options) error {
	for _, c := range Declared(o) {
		if _, err := js.CreateOrUpdateStream(ctx, c); err != nil {
			return fmt.Errorf("ensure stream %s: %w", c.Name, err)
		}
	}
	if err := ensureBuckets(ctx, js, o); err != nil {
		return err
	}
	return ensureConsumers(ctx, js)
}

func ensureBuckets(ctx context.Context, js jetstream.JetStream, o Options) error {
	for _, c := range DeclaredBuckets(o) {
		if err := ensureBucket(ctx, js, c, o); err != nil {
			return fmt.Errorf("ensure bucket %s: %w", c.Bucket, err)
		}
	}
	for _, c := range DeclaredObjects(o) {
		if _, err := js.CreateOrUpdateStream(ctx, objectStream(c)); err != nil {
			return fmt.Errorf("ensure object bucket %s: %w", c.Bucket, err)
		}
	}
	return nil
}

func ensureBucket(ctx context.Context, js jetstream.JetStream, c jetstream.KeyValueConfig, o Options) error {
	if c.Bucket == BucketLeases {
		return ensureLeases(ctx, js, c, o)
	}
	_, err := js.CreateOrUpdateKeyValue(ctx, c)
	return err
}

// ensureLeases makes the bucket of leases with a persistence that the library's configuration of a bucket cannot say,
// and that the server does not change later: a bucket that is there keeps its own.
func ensureLeases(ctx context.Context, js jetstream.JetStream, c jetstream.KeyValueConfig, o Options) error {
	s := leaseStream(c, o)
	old, err := js.Stream(ctx, s.Name)
	if err == nil {
		s.PersistMode = old.CachedInfo().Config.PersistMode
	} else if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	_, err = js.CreateOrUpdateStream(ctx, s)
	return err
}

// leaseStream is the stream of the bucket of leases as ADR-8 wants it. What an embedded server forgets at its death is
// repaired: who held a lease died with it, or cannot renew until it is back, so that leases are taken anew. A server of
// its own, which may die and come back while holders live, has to know what it said.
func leaseStream(c jetstream.KeyValueConfig, o Options) jetstream.StreamConfig {
	mode := jetstream.DefaultPersistMode
	if o.Embedded {
		mode = repaired(o)
	}
	return jetstream.StreamConfig{
		Name: "KV_" + c.Bucket, Subjects: []string{"$KV." + c.Bucket + ".>"}, Description: c.Description,
		MaxMsgsPerSubject: 1, MaxAge: c.TTL, Duplicates: c.TTL, AllowMsgTTL: true, SubjectDeleteMarkerTTL: c.LimitMarkerTTL,
		Replicas: c.Replicas, Storage: jetstream.FileStorage, MaxBytes: -1, MaxMsgSize: -1, MaxMsgs: -1, MaxConsumers: -1,
		Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true, AllowDirect: true, PersistMode: mode,
	}
}

// objectStream is the stream of an object bucket as ADR-20 wants it, and besides lets objects be stored in atomic
// batches, which the library's configuration of a bucket cannot say: an update by it would take that away again.
func objectStream(c jetstream.ObjectStoreConfig) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "OBJ_" + c.Bucket, Subjects: []string{"$O." + c.Bucket + ".C.>", "$O." + c.Bucket + ".M.>"},
		Description: c.Description, Replicas: c.Replicas, Storage: jetstream.FileStorage, MaxBytes: -1,
		Discard: jetstream.DiscardNew, AllowRollup: true, AllowDirect: true, AllowAtomicPublish: true,
	}
}

func ensureConsumers(ctx context.Context, js jetstream.JetStream) error {
	if err := EnsurePool(ctx, js, DefaultPool); err != nil {
		return err
	}
	for _, s := range []string{Events, Decisions, Executions} {
		if _, err := js.CreateOrUpdateConsumer(ctx, s, RecorderConsumerConfig()); err != nil {
			return fmt.Errorf("ensure consumer %s of %s: %w", ConsumerRecorder, s, err)
		}
	}
	return nil
}

// EnsurePool makes the consumer of a pool of runners.
func EnsurePool(ctx context.Context, js jetstream.JetStream, pool string) error {
	c, err := PoolConsumerConfig(pool)
	if err != nil {
		return fmt.Errorf("pool %q: %w", pool, err)
	}
	old, err := js.Consumer(ctx, Runs, c.Durable)
	if err == nil && old.CachedInfo().Config.MaxWaiting != c.MaxWaiting {
		// The server cannot change it. What the consumer had handed out comes again, and is dropped where it was claimed.
		err = js.DeleteConsumer(ctx, Runs, c.Durable)
	}
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("look for consumer %s of %s: %w", c.Durable, Runs, err)
	}
	if _, err := js.CreateOrUpdateConsumer(ctx, Runs, c); err != nil {
		return fmt.Errorf("ensure consumer %s of %s: %w", c.Durable, Runs, err)
	}
	return nil
}

// ErrNotReady is returned by Check when a stream, bucket or consumer is missing.
var ErrNotReady = errors.New("streams are not set up")

// Check tells whether everything that Ensure makes is there, all gaps at once. Services that may not create
// streams call it at their start.
func Check(ctx context.Context, js jetstream.JetStream) error {
	var errs []error
	for _, c := range Declared(Options{}) {
		if _, err := js.Stream(ctx, c.Name); err != nil {
			errs = append(errs, fmt.Errorf("stream %s: %w: %w", c.Name, ErrNotReady, err))
		}
	}
	for _, c := range DeclaredBuckets(Options{}) {
		if _, err := js.KeyValue(ctx, c.Bucket); err != nil {
			errs = append(errs, fmt.Errorf("bucket %s: %w: %w", c.Bucket, ErrNotReady, err))
		}
	}
	for _, c := range DeclaredObjects(Options{}) {
		if _, err := js.ObjectStore(ctx, c.Bucket); err != nil {
			errs = append(errs, fmt.Errorf("object bucket %s: %w: %w", c.Bucket, ErrNotReady, err))
		}
	}
	name, _ := PoolConsumer(DefaultPool)
	if _, err := js.Consumer(ctx, Runs, name); err != nil {
		errs = append(errs, fmt.Errorf("consumer %s of %s: %w: %w", name, Runs, ErrNotReady, err))
	}
	return errors.Join(errs...)
}
