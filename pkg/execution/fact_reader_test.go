package execution

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/attune/attune/streams"
)

// wholeFact is a fact with something in each of its fields.
func wholeFact(t testing.TB) Fact {
	t.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	code := -1
	f := Fact{
		Version: streams.Version, ID: uuid.NewString(), Action: "web.restart", PackDigest: "sha256-00", Status: streams.Failed, Attempt: 2,
		At: at, RequestedAt: at, RequestedBy: "token:é\"", Key: "web 1", Limit: 3, Pool: "default", Rule: "web.down", Event: uuid.NewString(),
		RetryOf: uuid.NewString(), Hops: 1, Parameters: json.RawMessage(`{"host":"web1","at":[1,2.5,null]}`),
		Admission: streams.Admission{Priority: streams.PriorityHigh, PackLimit: 5, Rate: "5/1m0s", QueueTimeoutSeconds: 1.5, Reject: true},
		Retry:     &streams.Retry{Attempts: 3, DelaySeconds: 0.5, On: []Status{streams.Failed}}, NotBefore: &at,
		Previous: []streams.Attempt{{Attempt: 1, Status: streams.Lost, StartedAt: &at}}, Runner: "runner-1", StartedAt: &at, EndedAt: &at,
		ExitCode: &code, Signal: "KILL", Result: json.RawMessage(`"no"`), Error: &streams.Error{Class: streams.ClassSignal, Message: "killed"},
		Output: &streams.Output{StdoutBytes: 1, StderrBytes: 2, Truncated: true, Dropped: 3, Held: true, LogBytes: 4, StoredBytes: 5, Incomplete: true},
		By:     "admin",
	}
	for _, v := range []reflect.Value{reflect.ValueOf(f), reflect.ValueOf(*f.Output), reflect.ValueOf(f.Admission)} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Fatalf("%s.%s is in no fact of this test", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
	return f
}

// Facts in the plain form would else be read by encoding/json, and nobody would notice.
func TestAFactThatIsWrittenHereIsReadWithoutReflection(t *testing.T) {
	t.Parallel()
	for _, f := range []Fact{wholeFact(t), {ID: uuid.NewString(), Action: "web.restart", Status: streams.Requested, Attempt: 1}} {
		m, err := NewMessage(f)
		if err != nil {
			t.Fatal(err)
		}
		var want Fact
		if err := json.Unmarshal(m.Data, &want); err != nil {
			t.Fatal(err)
		}
		got, ok := readFact(m.Data)
		if !ok {
			t.Errorf("%s was not read", m.Data)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestAFactInAnotherFormIsRead(t *testing.T) {
	t.Parallel()
	f, err := ParseFact([]byte(` { "v": 1, "ID": "a", "key": null, "output": { "stdout_bytes": 1 }, "later": true } `))
	want := Fact{Version: 1, ID: "a", Output: &streams.Output{StdoutBytes: 1}}
	if err != nil || !reflect.DeepEqual(f, want) {
		t.Errorf("got %+v, %v; want %+v", f, err, want)
	}
}

func FuzzAFactIsReadAsEncodingJSONReadsIt(f *testing.F) {
	whole, err := json.Marshal(wholeFact(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"v":1,"output":{"held":true},"output":{},"error":null,"previous":[{}],"previous":[{"attempt":1}],"result":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := readFact(data)
		if !ok {
			return
		}
		var want Fact
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q was read, and encoding/json refuses it: %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, want %+v", data, got, want)
		}
	})
}

func BenchmarkParseFact(b *testing.B) {
	f := wholeFact(b)
	f.Retry, f.Previous, f.Error, f.RequestedBy, f.QueueTimeoutSeconds = nil, nil, nil, "rules", 0 // as of most executions
	data, err := json.Marshal(f)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseFact(data); err != nil {
			b.Fatal(err)
		}
	}
}
