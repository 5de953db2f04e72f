package event_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/attune/attune/pkg/natsserver/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, natstest.AsyncPublisher()) }
