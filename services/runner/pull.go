package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// Pulling: how long a request for messages stands, how often the server says that it still does, and after
// what silence it is taken for forgotten.
const (
	pullExpires   = 30 * time.Second
	pullHeartbeat = 5 * time.Second
	pullSilence   = 2*pullHeartbeat + pullHeartbeat/2
)

// Statuses of a pull, and the header that says how many messages it would still have brought.
const (
	statusHeader    = "Status"
	statusHeartbeat = "100"
	statusTimeout   = "408"
	pendingHeader   = "Nats-Pending-Messages"
)

var (
	// errPullEnded is returned when the server takes no requests for messages: the consumer is gone, or JetStream
	// is not ready.
	errPullEnded = errors.New("pull ended by the server")
	// errNotAsked is returned for a message on a subscription that is none of a pull.
	errNotAsked = errors.New("nobody asked for it")
)

// pull asks a consumer for exactly as many messages as it is told. (The client library's iterator
// asks again only when it has noticed that its last request was sent; with one message at a time a fast server
// answers before that, and the iterator waits for a message that nobody asked for until a heartbeat is missed.)
type pull struct {
	conn  *nats.Conn
	api   string // subject of requests
	sub   *nats.Subscription
	most  int // messages that may be asked for at a time
	asked int // messages that were asked for and have not come
	heard time.Time
}

// newPull prepares to pull at most so many messages at a time into a channel that must have room for them and for
// as many statuses: a full one would drop messages.
func newPull(conn *nats.Conn, stream, consumer string, most int, in chan *nats.Msg) (*pull, error) {
	p := &pull{conn: conn, api: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer, most: most}
	var err error
	if p.sub, err = conn.ChanSubscribe(conn.NewInbox(), in); err != nil {
		return nil, fmt.Errorf("pull from %s: %w", stream, err)
	}
	return p, nil
}

// ask asks for n more messages.
func (p *pull) ask(n int) error {
	p.asked += n
	return p.request(n)
}

// again asks anew for everything that has not come.
func (p *pull) again() error {
	if p.asked == 0 {
		return nil
	}
	return p.request(p.asked)
}

func (p *pull) request(n int) error {
	body, err := json.Marshal(struct {
		Batch     int           `json:"batch"`
		Expires   time.Duration `json:"expires"`
		Heartbeat time.Duration `json:"idle_heartbeat"`
	}{n, pullExpires, pullHeartbeat})
	if err != nil {
		return fmt.Errorf("pull: encode request: %w", err)
	}
	p.heard = time.Now()
	if err := p.conn.PublishRequest(p.api, p.sub.Subject, body); err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	return nil
}

// receive takes in what the server sent and tells whether it is work. Work that nobody asked for, because a
// request was repeated, is given back.
func (p *pull) receive(m *nats.Msg) (work bool, err error) {
	p.heard = time.Now()
	switch status := m.Header.Get(statusHeader); {
	case status == "" || m.Reply != "": // a message can be acknowledged, whatever headers its publisher gave it
		if p.asked == 0 {
			return false, m.Nak()
		}
		p.asked--
		return true, nil
	case status == statusHeartbeat:
		return false, nil
	case status == statusTimeout:
		return false, p.renew(m)
	default:
		return false, fmt.Errorf("%w: %s %s", errPullEnded, status, m.Header.Get("Description"))
	}
}

// renew asks again for what a request that is over did not bring.
func (p *pull) renew(m *nats.Msg) error {
	n, err := strconv.Atoi(m.Header.Get(pendingHeader))
	if err != nil || n <= 0 || n > p.asked {
		n = p.asked
	}
	if n == 0 {
		return nil
	}
	return p.request(n)
}

// silent tells whether the server has forgotten what it was asked for.
func (p *pull) silent() bool { return p.asked > 0 && time.Since(p.heard) > pullSilence }

// close ends the pull.
func (p *pull) close() {
	_ = p.sub.Unsubscribe() // it fails only when the connection is closed, and with it the subscription
}
