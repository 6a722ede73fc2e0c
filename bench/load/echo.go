//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"time"
)

// stampSize is the part of each payload that names the connection and counts its messages. It is checked in every
// reply, so none can be lost, doubled, reordered or sent to another connection unseen.
const stampSize = 8

// sampled says how often the rest of a reply is compared too.
const sampled = 64

type echoConn struct {
	sent, received uint32
	due            int // replies of this turn, to be answered with as many messages
}

// echoMode keeps the same number of messages of each connection under way.
type echoMode struct {
	e        *engine
	inflight int
	payload  []byte // what every message carries behind its stamp
	batch    []byte // inflight frames, one behind the other, sent in one write
	size     int    // of one frame
	head     int    // of its header
	times    []int64
	latency  hist
	stopped  bool
	sent     uint64
	received uint64
}

func newEchoMode(conns, inflight, size int) *echoMode {
	m := &echoMode{inflight: inflight, payload: make([]byte, size), times: make([]int64, conns*inflight)}
	for i := range m.payload {
		m.payload[i] = 'a' + byte(i%26)
	}
	one := appendMasked(nil, opBinary, m.payload)
	m.size, m.head = len(one), len(one)-size
	m.batch = bytes.Repeat(one, inflight)
	return m
}

func stampOf(index int32, count uint32) uint64 { return uint64(uint32(index)) | uint64(count)<<32 }

var mask8 = binary.LittleEndian.Uint64(append(mask[:], mask[:]...))

// push sends n messages in one write.
func (m *echoMode) push(c *conn, n int) error {
	now := m.e.now()
	at := int(c.index) * m.inflight
	for i := range n {
		binary.LittleEndian.PutUint64(m.batch[i*m.size+m.head:], stampOf(c.index, c.echo.sent)^mask8)
		m.times[at+int(c.echo.sent)%m.inflight] = now
		c.echo.sent++
	}
	m.sent += uint64(n)
	return m.e.send(c, m.batch[:n*m.size])
}

func (m *echoMode) onMessage(c *conn, f frame) error {
	if len(f.payload) != len(m.payload) {
		return fmt.Errorf("echo of %d bytes, %d were sent", len(f.payload), len(m.payload))
	}
	if c.echo.received == c.echo.sent {
		return errors.New("echo of a message that was not sent")
	}
	if got, want := binary.LittleEndian.Uint64(f.payload), stampOf(c.index, c.echo.received); got != want {
		return fmt.Errorf("echo out of order or of another connection: stamp %#x, want %#x", got, want)
	}
	if m.received%sampled == 0 {
		if f.op != opBinary || !bytes.Equal(f.payload[stampSize:], m.payload[stampSize:]) {
			return errors.New("echo differs from what was sent")
		}
	}
	m.latency.record(m.e.stamp - m.times[int(c.index)*m.inflight+int(c.echo.received)%m.inflight])
	c.echo.received++
	m.received++
	c.echo.due++
	return nil
}

func (m *echoMode) onTurn(c *conn) error {
	n := c.echo.due
	c.echo.due = 0
	if n == 0 || m.stopped {
		return nil
	}
	return m.push(c, n)
}

func (m *echoMode) onClose(c *conn, why string) error {
	return fmt.Errorf("closed with %d messages under way: %s", c.echo.sent-c.echo.received, why)
}

func echoMain(args []string) (*common, *report, error) {
	var c common
	fs := flag.NewFlagSet("echo", flag.ExitOnError)
	c.register(fs, "ws://127.0.0.1:9001/")
	conns := fs.Int("conns", 64, "connections")
	inflight := fs.Int("inflight", 1, "messages each connection keeps under way")
	size := fs.Int("size", 128, "payload bytes of a message, at least 8")
	seconds := fs.Float64("seconds", 8, "length of the measured window")
	warm := fs.Duration("warm", 2*time.Second, "time before it")
	fs.Parse(args)
	r, err := echoRun(&c, *conns, *inflight, *size, *seconds, *warm)
	return &c, r, err
}

func echoRun(c *common, conns, inflight, size int, seconds float64, warm time.Duration) (*report, error) {
	if size < stampSize || size > readBuffer/2 || inflight < 1 || conns < 1 {
		return nil, fmt.Errorf("--size lies between %d and %d, --inflight and --conns above 0", stampSize, readBuffer/2)
	}
	m := newEchoMode(conns, inflight, size)
	e, err := c.start(conns, m)
	if err != nil {
		return nil, err
	}
	m.e = e
	if err := e.openAll(c.limit); err != nil {
		return nil, err
	}
	for i := range e.conns {
		if err := m.push(&e.conns[i], inflight); err != nil {
			return nil, err
		}
	}
	if err := e.until(e.now()+int64(warm), nil); err != nil {
		return nil, err
	}
	m.latency.reset()
	a, err := e.meter(c.pid)
	if err != nil {
		return nil, err
	}
	if err := e.until(a.at+int64(seconds*1e9), nil); err != nil {
		return nil, err
	}
	b, err := e.meter(c.pid)
	if err != nil {
		return nil, err
	}
	latency := m.latency

	m.stopped = true
	all := func() bool { return m.received == m.sent }
	if err := e.until(e.now()+int64(c.drain), all); err != nil {
		return nil, err
	}
	if !all() {
		return nil, fmt.Errorf("%d of %d messages were never echoed", m.sent-m.received, m.sent)
	}

	var r report
	r.add("mode", "echo")
	r.add("conns", conns)
	r.add("inflight", inflight)
	r.add("size", size)
	r.window(a, b, c.pid, "msg")
	r.add("p50_us", round(float64(latency.quantile(0.5))/1e3, 1))
	r.add("p99_us", round(float64(latency.quantile(0.99))/1e3, 1))
	r.add("max_us", round(float64(latency.max)/1e3, 1))
	r.add("checked", m.received)
	return &r, nil
}
