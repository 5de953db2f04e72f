package natstest

import "go.uber.org/goleak"

// AsyncPublisher is a goroutine of the client library: it ends with the connection, but not when it was started as that
// was closed already, since the library tells the end of a connection once.
func AsyncPublisher() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect")
}
