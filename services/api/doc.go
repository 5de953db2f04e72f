// Package api is the HTTP service: the API, webhooks, live streams and health.
//
// Requests are checked at the edge and answered from the definitions' last snapshot, the history in PostgreSQL
// and the streams. It guarantees that nothing is queued or published that was not checked whole; that a request
// with an idempotency key, an event with an id and a delivery with an id take effect once, however often and
// wherever they are repeated; that what was accepted is stored before the answer says so; that nobody without a
// token gets in, but for health and for webhooks that prove where they come from; that answers hold no value of
// a secret and no inside of the service; and that a client who does not read costs bounded memory for a bounded
// time. While PostgreSQL is away, requesting, canceling, logs and queues go on; while NATS is away, nothing is
// accepted.
package api
