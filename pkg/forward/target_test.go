package forward

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestAddressesOfSinks(t *testing.T) {
	t.Parallel()
	good := map[string]target{
		"file:///var/log/attune":                           {folder: "/var/log/attune", fileBytes: defaultFileBytes, fileKeep: defaultFileKeep},
		"file:///var/log/attune/?max_bytes=2097152&keep=0": {folder: "/var/log/attune", fileBytes: 2 << 20},
		"otlp+http://host:4318":                            {endpoint: "http://host:4318/v1/logs"},
		"otlp+https://host/otlp/":                          {endpoint: "https://host/otlp/v1/logs"},
		"otlp+https://u:p@host":                            {endpoint: "https://u:p@host/v1/logs"},
	}
	for address, want := range good {
		got, err := parse(address)
		if strings.Contains(got.shown, ":p@") {
			t.Errorf("%s: shown as %s", address, got.shown)
		}
		if got.shown = ""; got != want || err != nil {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
	for _, address := range []string{
		"", "x", "/var/log", "file://var/log", "file:var/log", "file:///", "file:///..", "file:///a?keep=-1", "file:///a?max_bytes=1", "file:///a?max=1", "http://host",
		"otlp+http://", "otlp+grpc://host:4317", "otlp://host", "otlp+http://host?x=1", "otlp+http://u:hidden@ho st",
	} {
		if err := (Destination{Target: address}).CheckTarget(); !errors.Is(err, ErrTarget) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestWhenToTryAgain(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "7": 7 * time.Second, "999999999": maxRetryAfter,
		epoch.Add(time.Minute).Format(http.TimeFormat): time.Minute, epoch.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(value, epoch); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestAnswersThatRefuseNothing(t *testing.T) {
	t.Parallel()
	message := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "a warning")
	for _, answer := range [][]byte{
		nil, []byte("ok"), {0x0a}, {0x0a, 0xff}, {0x08, 0x05}, protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), message),
	} {
		if n := rejected(answer); n != 0 {
			t.Errorf("%x: %d", answer, n)
		}
	}
}
