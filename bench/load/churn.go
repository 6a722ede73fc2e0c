//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// churnSize is the payload of the one message of a connection.
const churnSize = 128

// grace is how long a server may take to close the socket after the close frames. RFC 6455 §7.1.1
// wants it to be the first; after that the load closes, with a reset, for a client's TIME_WAIT
// would keep its port.
const grace = int64(100 * time.Millisecond)

type churnPhase uint8

const (
	churnFree    churnPhase = iota // to be connected
	churnUpgrade                   // connecting and upgrading
	churnEcho                      // the message is sent
	churnClosing                   // the echo is right, our close frame is sent
	churnOver                      // and the server's has come; it should close now
)

type cycleConn struct {
	phase   churnPhase
	begun   int64 // when connect was called, or due
	over    int64 // when the server's close frame came
	resumed bool  // its TLS session goes on from an earlier one
}

// churnMode opens connections, sends one message on each, waits for its echo and closes them, a
// fixed number at a time. The latency is that of the whole cycle, from connect to the end of the
// stream.
type churnMode struct {
	e          *engine
	payload    []byte
	message    []byte // the frame, its stamp to be filled in
	head       int
	closeFrame []byte
	count      uint32
	cycles     uint64
	resumed    uint64 // of them
	cut        uint64 // connections the server left open
	active     int
	bare       bool // neither a message nor a farewell: only the opening is of interest
	stopped    bool
	measuring  bool
	latency    latency
	pacer      *pacer // of an open loop, or nil
}

func newChurnMode(rate float64) *churnMode {
	m := &churnMode{payload: filler(churnSize), latency: newLatency()}
	if rate > 0 {
		m.pacer = newPacer(rate)
	}
	m.message = appendMasked(nil, opBinary, m.payload)
	m.head = len(m.message) - churnSize
	m.closeFrame = appendMasked(nil, opClose, []byte{0x03, 0xe8}) // 1000, normal closure
	return m
}

// pace connects what is free and cuts what the server leaves open.
func (m *churnMode) pace(now int64) (next int64, err error) {
	next, due := now+grace/4, int64(math.MaxInt64)
	if m.pacer != nil {
		due = m.pacer.count(now)
		next = min(next, m.pacer.due(due))
	}
	for i := range m.e.conns {
		c := &m.e.conns[i]
		switch c.cycle.phase {
		case churnFree:
			if m.stopped || int64(m.count) >= due {
				continue
			}
			c.cycle = cycleConn{phase: churnUpgrade, begun: m.e.now()}
			if m.pacer != nil {
				c.cycle.begun = m.pacer.due(int64(m.count))
			}
			m.count++
			m.active++
			c.echo.sent = m.count
			if err := m.e.connect(c, i); err != nil {
				return 0, fmt.Errorf("connection %d: %w", i, err)
			}
		case churnOver:
			if now-c.cycle.over > grace {
				m.cut++
				if err := m.cutOff(c); err != nil {
					return 0, fmt.Errorf("connection %d: %w", i, err)
				}
			}
		}
	}
	return next, nil
}

func (m *churnMode) cutOff(c *conn) error {
	if err := unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return err
	}
	m.e.stamp = c.cycle.over // the server had done all its work then
	return m.e.close(c, "left open")
}

func (m *churnMode) onOpen(c *conn) error {
	if c.tls != nil {
		c.cycle.resumed = c.tls.tls.ConnectionState().DidResume
	}
	if m.bare {
		m.done(c)
		return m.e.cut(c)
	}
	c.cycle.phase = churnEcho
	binary.LittleEndian.PutUint64(m.message[m.head:], stampOf(c.index, c.echo.sent)^mask8)
	return m.e.send(c, m.message)
}

func (m *churnMode) onMessage(c *conn, f frame) error {
	if c.cycle.phase != churnEcho {
		return errors.New("echo of a message that was not sent")
	}
	if f.op != opBinary || len(f.payload) != churnSize || !bytes.Equal(f.payload[stampSize:], m.payload[stampSize:]) ||
		binary.LittleEndian.Uint64(f.payload) != stampOf(c.index, c.echo.sent) {
		return errors.New("echo differs from what was sent")
	}
	c.cycle.phase = churnClosing
	return m.e.send(c, m.closeFrame)
}

func (m *churnMode) onCloseFrame(c *conn, payload []byte) error {
	if c.cycle.phase != churnClosing {
		return fmt.Errorf("close frame %x before ours", payload)
	}
	// The code comes back (RFC 6455 §5.5.1); a server that sends none has reported no error.
	if len(payload) > 0 && !bytes.HasPrefix(payload, []byte{0x03, 0xe8}) {
		return fmt.Errorf("our close 1000 was answered with %x", payload)
	}
	c.cycle.phase, c.cycle.over = churnOver, m.e.stamp
	return nil
}

func (m *churnMode) onTurn(*conn) error { return nil }

func (m *churnMode) onClose(c *conn, why string) error {
	switch c.cycle.phase {
	case churnEcho:
		return fmt.Errorf("closed before the echo: %s", why)
	case churnClosing:
		return fmt.Errorf("closed without a close frame: %s", why)
	}
	m.done(c)
	return nil
}

func (m *churnMode) done(c *conn) {
	c.cycle.phase = churnFree
	m.cycles++
	m.active--
	if c.cycle.resumed {
		m.resumed++
	}
	if m.measuring {
		m.latency.record(m.e.stamp - c.cycle.begun)
	}
}

func churnMain(args []string) (*common, *report, error) {
	var c common
	fs := flag.NewFlagSet("churn", flag.ExitOnError)
	c.register(fs, "ws://127.0.0.1:9001/")
	parallel := fs.Int("conns", 64, "connections at a time, at most")
	rate := fs.Float64("rate", 0, "connections begun in a second; 0: the next when one is over")
	seconds := fs.Float64("seconds", 8, "length of the measured window")
	warm := fs.Duration("warm", 2*time.Second, "time before it")
	fs.Parse(args)
	r, err := churnRun(&c, newChurnMode(*rate), *parallel, *seconds, *warm)
	return &c, r, err
}

// handshakesMain is churn of connections that are reset as soon as they are open.
func handshakesMain(args []string) (*common, *report, error) {
	var c common
	fs := flag.NewFlagSet("handshakes", flag.ExitOnError)
	c.register(fs, "wss://127.0.0.1:9001/")
	parallel := fs.Int("conns", 64, "connections at a time, at most")
	rate := fs.Float64("rate", 0, "connections begun in a second; 0: the next when one is open")
	seconds := fs.Float64("seconds", 8, "length of the measured window")
	warm := fs.Duration("warm", 2*time.Second, "time before it")
	fs.Parse(args)
	m := newChurnMode(*rate)
	m.bare = true
	r, err := churnRun(&c, m, *parallel, *seconds, *warm)
	return &c, r, err
}

func churnRun(c *common, m *churnMode, parallel int, seconds float64, warm time.Duration) (*report, error) {
	e, err := c.start(parallel, m)
	if err != nil {
		return nil, err
	}
	m.e, e.pace = e, m.pace
	if m.pacer != nil {
		m.pacer.begin, e.openLoop = e.now(), true
	}
	if err := e.until(e.now()+int64(warm), nil); err != nil {
		return nil, err
	}
	var before, resumed uint64
	a, b, err := e.measure(c.pid, func(at int64) int64 {
		m.measuring, before, resumed = true, m.cycles, m.resumed
		return at + int64(seconds*1e9)
	})
	if err != nil {
		return nil, err
	}
	done := m.cycles - before
	resumed = m.resumed - resumed
	m.measuring, m.stopped = false, true
	all := func() bool { return m.active == 0 }
	if err := e.until(e.now()+int64(c.drain), all); err != nil {
		return nil, err
	}
	if !all() {
		return nil, fmt.Errorf("%d of %d connections did not come to an end: %s", m.active, m.count, m.unfinished())
	}

	var r report
	mode := "churn"
	if m.bare {
		mode = "handshakes"
	}
	r.add("mode", mode)
	r.add("parallel", parallel)
	r.windowOf(a, b, c.pid, "conn", done)
	r.add("conns_per_core_s", round(ratio(float64(done)*1e9, float64(b.server-a.server)), 0))
	if m.pacer != nil {
		r.add("kept", round(float64(done)*m.pacer.step/float64(b.at-a.at), 4))
	}
	if e.target.tls != nil {
		r.add("resumed", round(ratio(float64(resumed), float64(done)), 4))
	}
	m.latency.report(&r, "")
	r.add("left_open", m.cut)
	r.add("checked", m.cycles)
	return &r, nil
}

// unfinished returns the phase of the first connection that has not ended.
func (m *churnMode) unfinished() string {
	for i := range m.e.conns {
		switch m.e.conns[i].cycle.phase {
		case churnUpgrade:
			return "no answer to the upgrade"
		case churnEcho:
			return "no echo"
		case churnClosing:
			return "no answer to the close frame"
		}
	}
	return "not closed"
}
