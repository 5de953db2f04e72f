// Package beacon tells when programs begin.
//
// A program says so itself, with its first instruction: it reads the monotonic clock, and sends what it read with the
// id of its execution as a datagram to a port of this machine. The program that Program makes does that in a few
// dozen machine instructions, so that neither a libc nor a runtime counts as Attune's latency; programs of other
// languages can send the same: seconds and nanoseconds as little-endian numbers of 64 bits, then the id.
//
// It needs no setting of a sandbox: actions may use the network.
package beacon

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes of a datagram.
const (
	timeBytes = 16
	idBytes   = 36
	size      = timeBytes + idBytes
)

// Beacon says when a program began.
type Beacon struct {
	ID string        // ATTUNE_EXECUTION_ID of its environment; empty when there was none
	At time.Duration // of the monotonic clock
}

// Now reads the clock that programs read.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every Linux has it
	}
	return time.Duration(t.Nano())
}

// Receiver takes beacons.
type Receiver struct {
	Beacons <-chan Beacon // closed after Close

	conn *net.UDPConn
}

// waiting is how many beacons may wait to be taken. More would be lost, and a measurement would end with an error.
const waiting = 1 << 16

// Listen opens a port.
func Listen() (*Receiver, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("listen for beacons: %w", err)
	}
	if err := conn.SetReadBuffer(8 << 20); err != nil {
		_ = conn.Close() // nothing was read
		return nil, fmt.Errorf("listen for beacons: %w", err)
	}
	beacons := make(chan Beacon, waiting)
	go receive(conn, beacons)
	return &Receiver{Beacons: beacons, conn: conn}, nil
}

func receive(conn *net.UDPConn, to chan<- Beacon) {
	defer close(to)
	var buf [2 * size]byte
	for {
		n, err := conn.Read(buf[:])
		if err != nil {
			return // closed
		}
		if n == size {
			to <- parse(buf[:n])
		}
	}
}

func parse(datagram []byte) Beacon {
	le := binary.LittleEndian
	at := unix.Timespec{Sec: int64(le.Uint64(datagram)), Nsec: int64(le.Uint64(datagram[8:]))} //nolint:gosec // a clock's numbers are small
	b := Beacon{At: time.Duration(at.Nano())}
	if id := datagram[timeBytes:]; id[0] != 0 {
		b.ID = string(id)
	}
	return b
}

// Addr is where programs send to.
func (r *Receiver) Addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Drain forgets the beacons that have come.
func (r *Receiver) Drain() {
	for {
		select {
		case _, open := <-r.Beacons:
			if !open {
				return
			}
		default:
			return
		}
	}
}

// Close ends it.
func (r *Receiver) Close() error { return r.conn.Close() }
