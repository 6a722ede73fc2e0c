//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/bits"
	"time"
)

// stampSize is the part of each payload that names the connection and counts its messages. It is
// checked in every reply, so that no message is lost, doubled, reordered or sent to another
// connection unnoticed.
const stampSize = 8

// sampled is how often a whole reply is compared. It is prime, so that this happens on all
// connections when they are served in turn.
const sampled = 61

type echoConn struct {
	sent, received uint32
	due            int // replies of this turn, to be answered with as many messages
}

// echoMode sends messages and checks what comes back, in one of two ways. In a closed loop each
// connection keeps the same number of messages under way, and a reply brings the next message
// about; that finds the most a server can do, and the latencies are service times, for a server
// that stalls is asked for less meanwhile. In an open loop messages have times at which they are
// due, and latency counts from there: what a stall holds up is counted with all its waiting.
type echoMode struct {
	e        *engine
	payload  []byte // what every message carries behind its stamp
	batch    []byte // frames, one behind the other, sent in one write
	size     int    // of one frame
	head     int    // of its header
	room     int    // frames in batch
	latency  latency
	sent     uint64
	received uint64

	// Closed loop.
	times     []int64 // when the messages under way were sent: one ring a connection
	ring      uint32  // its length, a power of two
	measuring bool
	stopped   bool

	// Open loop. Message i of all is message i/conns of connection i%conns.
	pacer *pacer
	dealt int64 // messages whose connection has been asked to send them
	most  uint32
	from  int64 // begin of the window: what was due before is not recorded
}

// mostBatch is the largest write, so that the kernel accepts it in one piece.
const mostBatch = 64 << 10

func newEchoMode(size, room int) *echoMode {
	m := &echoMode{payload: filler(size), room: room, latency: newLatency(), from: math.MaxInt64}
	one := appendMasked(nil, opBinary, m.payload)
	m.size, m.head = len(one), len(one)-size
	m.batch = bytes.Repeat(one, m.room)
	return m
}

func newClosedEcho(conns, inflight, size int) *echoMode {
	m := newEchoMode(size, inflight)
	m.ring = 1 << bits.Len(uint(inflight-1))
	m.times = make([]int64, conns*int(m.ring))
	return m
}

func newOpenEcho(rate float64, size int) *echoMode {
	m := newEchoMode(size, max(1, min(64, mostBatch/size)))
	m.pacer = newPacer(rate)
	m.most = uint32(max(1, min(outstanding, 4<<20/size)))
	return m
}

// filler is a payload of letters.
func filler(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = 'a' + byte(i%26)
	}
	return p
}

func stampOf(index int32, count uint32) uint64 { return uint64(uint32(index)) | uint64(count)<<32 }

var mask8 = binary.LittleEndian.Uint64(append(mask[:], mask[:]...))

// sendMessages sends n messages in one write, at most as many as fit into the batch.
func (m *echoMode) sendMessages(c *conn, n int, now int64) error {
	for i := range n {
		count := c.echo.sent
		binary.LittleEndian.PutUint64(m.batch[i*m.size+m.head:], stampOf(c.index, count)^mask8)
		c.echo.sent++
		if m.pacer == nil {
			m.times[uint32(c.index)*m.ring+count&(m.ring-1)] = now
		} else if due := m.due(c, count); due >= m.from {
			m.pacer.late.record(now - due)
		}
	}
	m.sent += uint64(n)
	return m.e.send(c, m.batch[:n*m.size])
}

func (m *echoMode) onMessage(c *conn, f frame) error {
	if len(f.payload) != len(m.payload) {
		return fmt.Errorf("echo of %d bytes, %d were sent", len(f.payload), len(m.payload))
	}
	count := c.echo.received
	if count == c.echo.sent {
		return errors.New("echo of a message that was not sent")
	}
	if got, want := binary.LittleEndian.Uint64(f.payload), stampOf(c.index, count); got != want {
		return fmt.Errorf("echo out of order or of another connection: stamp %#x, want %#x", got, want)
	}
	if m.received%sampled == 0 {
		if f.op != opBinary || !bytes.Equal(f.payload[stampSize:], m.payload[stampSize:]) {
			return errors.New("echo differs from what was sent")
		}
	}
	c.echo.received++
	m.received++
	if m.pacer != nil {
		if due := m.due(c, count); due >= m.from {
			m.latency.record(m.e.stamp - due)
		}
		return nil
	}
	c.echo.due++
	if m.measuring {
		m.latency.record(m.e.stamp - m.times[uint32(c.index)*m.ring+count&(m.ring-1)])
	}
	return nil
}

func (m *echoMode) onTurn(c *conn) error {
	n := c.echo.due
	c.echo.due = 0
	if n == 0 || m.stopped {
		return nil
	}
	return m.sendMessages(c, n, m.e.stamp)
}

func (m *echoMode) onClose(c *conn, why string) error {
	return fmt.Errorf("closed with %d messages under way: %s", c.echo.sent-c.echo.received, why)
}

// due is when a message of the open loop is to be sent.
func (m *echoMode) due(c *conn, count uint32) int64 {
	return m.pacer.due(int64(count)*int64(len(m.e.conns)) + int64(c.index))
}

// pace sends what is due. Connections with as many messages in flight as allowed, or whose socket
// accepts no more, send the others in a later turn.
func (m *echoMode) pace(now int64) (next int64, err error) {
	total, conns := m.pacer.count(now), int64(len(m.e.conns))
	for i := max(m.dealt, total-conns); i < total; i++ {
		c := &m.e.conns[i%conns]
		owed := uint32((total-int64(c.index)+conns-1)/conns) - c.echo.sent
		owed = min(owed, m.most-(c.echo.sent-c.echo.received))
		for owed > 0 && len(c.out) == 0 {
			n := min(owed, uint32(m.room))
			if err := m.sendMessages(c, int(n), now); err != nil {
				return 0, fmt.Errorf("connection %d: %w", c.index, err)
			}
			owed -= n
		}
	}
	m.dealt = total
	return m.pacer.due(total), nil
}

func echoMain(args []string) (*common, *report, error) {
	var c common
	var s echoSettings
	fs := flag.NewFlagSet("echo", flag.ExitOnError)
	c.register(fs, "ws://127.0.0.1:9001/")
	fs.IntVar(&s.conns, "conns", 64, "connections")
	fs.IntVar(&s.inflight, "inflight", 1, "messages each connection keeps under way in the closed loop")
	fs.Float64Var(&s.rate, "rate", 0, "messages per second over all connections, as an open loop (0: closed loop)")
	fs.IntVar(&s.size, "size", 128, "payload bytes of a message, at least 8")
	fs.Float64Var(&s.seconds, "seconds", 8, "length of the measured window")
	fs.DurationVar(&s.warm, "warm", 2*time.Second, "time before it")
	fs.Parse(args)
	r, err := echoRun(&c, s)
	return &c, r, err
}

type echoSettings struct {
	conns, inflight, size int
	rate                  float64
	seconds               float64
	warm                  time.Duration
}

func echoRun(c *common, s echoSettings) (*report, error) {
	if s.size < stampSize || s.size > readBuffer/2 || s.inflight < 1 || s.conns < 1 || s.rate < 0 {
		return nil, fmt.Errorf("--size lies between %d and %d, --inflight and --conns above 0, --rate not below",
			stampSize, readBuffer/2)
	}
	var m *echoMode
	if s.rate > 0 {
		m = newOpenEcho(s.rate, s.size)
	} else {
		m = newClosedEcho(s.conns, s.inflight, s.size)
	}
	e, err := c.start(s.conns, m)
	if err != nil {
		return nil, err
	}
	m.e = e
	if err := e.openAll(c.limit); err != nil {
		return nil, err
	}
	if err := m.begin(s.inflight); err != nil {
		return nil, err
	}
	if err := e.until(e.now()+int64(s.warm), nil); err != nil {
		return nil, err
	}
	a, b, err := e.measure(c.pid, func(at int64) int64 {
		m.measuring, m.from = true, at
		return at + int64(s.seconds*1e9)
	})
	if err != nil {
		return nil, err
	}
	m.measuring, m.stopped, e.pace = false, true, nil
	all := func() bool { return m.received == m.sent }
	if err := e.awaitReplies(c.drain, all); err != nil {
		return nil, err
	}
	if !all() {
		return nil, fmt.Errorf("%d of %d messages were never echoed", m.sent-m.received, m.sent)
	}

	var r report
	r.add("mode", "echo")
	r.add("conns", s.conns)
	if s.rate > 0 {
		r.add("rate", s.rate)
	} else {
		r.add("inflight", s.inflight)
	}
	r.add("size", s.size)
	r.window(a, b, c.pid, "msg")
	m.latency.report(&r, "")
	if s.rate > 0 {
		r.kept(a, b, s.rate)
		m.pacer.late.report(&r, "sent_late_")
	}
	r.add("checked", m.received)
	return &r, nil
}

func (m *echoMode) begin(inflight int) error {
	now := m.e.now()
	if m.pacer != nil {
		m.pacer.begin, m.e.pace, m.e.openLoop = now, m.pace, true
		return nil
	}
	for i := range m.e.conns {
		if err := m.sendMessages(&m.e.conns[i], inflight, now); err != nil {
			return err
		}
	}
	return nil
}
