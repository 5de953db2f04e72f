package natstest

import "go.uber.org/goleak"

// AsyncPublisher is a goroutine of the client library: it ends with the connection, but not when it was started as that
// was closed already, since the library tells the end of a connection once.
func AsyncPublisher() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect")
}

// CanceledGet is a goroutine of the client library that stays where a read of an object was canceled while it subscribed:
// it has the first part already, and nobody was given what reads it. A reader that a test of ours forgot to close looks
// the same, so this is for tests that cancel reads.
func CanceledGet() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/nats-io/nats.go/jetstream.(*obs).Get.func2")
}
