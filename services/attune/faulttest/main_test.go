package faulttest

import (
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/attune/attune/pkg/natsserver"
	"github.com/attune/attune/services/attune/attunetest"
)

var (
	soak = flag.Duration("soak", 0, "how long the random faults go on; 0: a short run of every test")
	seed = flag.Uint64("seed", 0, "seed of the random faults; 0: a new one, which is printed")
)

// patience bounds every wait.
const patience = 2 * time.Minute

// natsDir says to a process of this test that it is a NATS server, in which folder and on which address.
const (
	natsDir  = "FAULTTEST_NATS_DIR"
	natsAddr = "FAULTTEST_NATS_ADDR"
)

// probe is the action's program.
var probe = sync.OnceValues(func() (string, error) {
	return attunetest.Build("github.com/attune/attune/services/attune/faulttest/probe")
})

func TestMain(m *testing.M) {
	if dir := os.Getenv(natsDir); dir != "" {
		beNATS(dir, os.Getenv(natsAddr))
		return
	}
	attunetest.Tags = "failpoint"
	flag.Parse()
	attunetest.Overlap()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	attunetest.Main(m)
}

// beNATS serves NATS until it is told to stop.
func beNATS(dir, addr string) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s, err := natsserver.Start(natsserver.Config{Dir: dir, Addr: addr, Logger: log})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	s.Stop()
}
