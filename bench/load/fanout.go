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
)

type fanoutConn struct {
	joined bool
	next   uint64 // sequence number of the message that must come next
}

// fanoutMode publishes on the first connection and checks that every connection gets every message
// once and in order. It is an open loop: messages are published when they are due, and each
// delivery's latency counts from there.
type fanoutMode struct {
	e       *engine
	pacer   *pacer
	payload []byte
	out     []byte // the frame, its sequence number to be filled in
	head    int
	most    uint64 // messages the publisher may be ahead of its own deliveries
	sent    uint64 // messages, the probes included
	probes  uint64 // sent before the first message that is due at a time
	joined  int
	missing int64 // deliveries of messages sent, still to come to connections that have joined
	checked uint64
	from    int64 // begin of the window: what was due before is not recorded
	latency latency
}

func newFanoutMode(rate float64, size int) *fanoutMode {
	m := &fanoutMode{
		pacer: newPacer(rate), payload: filler(size), latency: newLatency(), from: math.MaxInt64,
		most: uint64(max(1, min(outstanding, 4<<20/size))),
	}
	m.out = appendMasked(nil, opBinary, m.payload)
	m.head = len(m.out) - size
	return m
}

func (m *fanoutMode) publish() error {
	binary.LittleEndian.PutUint64(m.out[m.head:], m.sent^mask8)
	m.sent++
	m.missing += int64(m.joined)
	return m.e.send(&m.e.conns[0], m.out)
}

func (m *fanoutMode) onMessage(c *conn, f frame) error {
	if len(f.payload) != len(m.payload) {
		return fmt.Errorf("delivery of %d bytes, %d were published", len(f.payload), len(m.payload))
	}
	got := binary.LittleEndian.Uint64(f.payload)
	if got >= m.sent {
		return fmt.Errorf("delivery of message %d, which was not published", got)
	}
	k := &c.fanout
	if !k.joined {
		// The first message may be any probe; from then on none may be missing.
		k.joined, k.next = true, got
		m.joined++
		m.missing += int64(m.sent - got)
	}
	if got != k.next {
		return fmt.Errorf("delivery of message %d, want %d: lost, doubled or out of order", got, k.next)
	}
	if m.checked%sampled == 1 {
		if f.op != opBinary || !bytes.Equal(f.payload[stampSize:], m.payload[stampSize:]) {
			return errors.New("delivery differs from what was published")
		}
	}
	k.next++
	m.missing--
	m.checked++
	if due := m.pacer.due(int64(got - m.probes)); due >= m.from {
		m.latency.record(m.e.stamp - due)
	}
	return nil
}

func (m *fanoutMode) onTurn(*conn) error { return nil }

func (m *fanoutMode) onClose(c *conn, why string) error {
	return fmt.Errorf("closed with %d deliveries to come: %s", m.sent-c.fanout.next, why)
}

// join publishes probes until every connection has got one: a server may answer the upgrade before
// it has added the connection to those it sends to.
func (m *fanoutMode) join(limit time.Duration) error {
	all := func() bool { return m.joined == len(m.e.conns) && m.missing == 0 }
	for deadline := m.e.now() + int64(limit); !all(); {
		if m.e.now() > deadline {
			return fmt.Errorf("%d of %d connections got a message after %v", m.joined, len(m.e.conns), limit)
		}
		if m.joined < len(m.e.conns) {
			if err := m.publish(); err != nil {
				return err
			}
		}
		if err := m.e.until(m.e.now()+int64(100*time.Millisecond), all); err != nil {
			return err
		}
	}
	m.probes = m.sent
	return nil
}

// pace publishes what is due, unless the server is too far behind or takes no more.
func (m *fanoutMode) pace(now int64) (next int64, err error) {
	total := m.pacer.count(now)
	publisher := &m.e.conns[0]
	for i := int64(m.sent - m.probes); i < total; i++ {
		if len(publisher.out) > 0 || m.sent-publisher.fanout.next >= m.most {
			break
		}
		if due := m.pacer.due(i); due >= m.from {
			m.pacer.late.record(now - due)
		}
		if err := m.publish(); err != nil {
			return 0, fmt.Errorf("publisher: %w", err)
		}
	}
	return m.pacer.due(total), nil
}

func fanoutMain(args []string) (*common, *report, error) {
	var c common
	fs := flag.NewFlagSet("fanout", flag.ExitOnError)
	c.register(fs, "ws://127.0.0.1:9003/fanout")
	conns := fs.Int("conns", 1000, "connections, the publisher among them")
	rate := fs.Float64("rate", 100, "messages published per second")
	size := fs.Int("size", 128, "payload bytes of a message, at least 8")
	seconds := fs.Float64("seconds", 8, "length of the measured window")
	warm := fs.Duration("warm", 2*time.Second, "time before it")
	viewers := fs.Int("viewers", 1, "with --protocol: connections that view one run")
	c.offerFlag(fs)
	fs.Parse(args)
	if c.protocol != "" {
		r, err := viewersRun(&c, *conns, *viewers, *rate, *size, *seconds, *warm)
		return &c, r, err
	}
	r, err := fanoutRun(&c, *conns, *rate, *size, *seconds, *warm)
	return &c, r, err
}

func fanoutRun(c *common, conns int, rate float64, size int, seconds float64, warm time.Duration) (*report, error) {
	if size < stampSize || size > readBuffer/2 || !(rate > 0) {
		return nil, fmt.Errorf("--size lies between %d and %d, --rate above 0", stampSize, readBuffer/2)
	}
	m := newFanoutMode(rate, size)
	e, err := c.start(conns, m)
	if err != nil {
		return nil, err
	}
	m.e = e
	if err := e.openAll(c.limit); err != nil {
		return nil, err
	}
	if err := m.join(c.limit); err != nil {
		return nil, err
	}
	m.pacer.begin, e.pace, e.openLoop = e.now(), m.pace, true
	if err := e.until(e.now()+int64(warm), nil); err != nil {
		return nil, err
	}
	a, b, err := e.measure(c.pid, func(at int64) int64 {
		m.from = at
		return at + int64(seconds*1e9)
	})
	if err != nil {
		return nil, err
	}
	e.pace = nil
	all := func() bool { return m.missing == 0 }
	if err := e.awaitReplies(c.drain, all); err != nil {
		return nil, err
	}
	if !all() {
		return nil, fmt.Errorf("%d deliveries of %d messages never came", m.missing, m.sent)
	}

	var r report
	r.add("mode", "fanout")
	r.add("conns", conns)
	r.add("rate", rate)
	r.add("size", size)
	r.window(a, b, c.pid, "msg")
	m.latency.report(&r, "")
	r.kept(a, b, rate*float64(conns))
	m.pacer.late.report(&r, "sent_late_")
	r.add("checked", m.checked)
	return &r, nil
}

// viewersRun is fanoutRun with runs in the place of publishers: the messages are their events, and each
// connection views one of them.
func viewersRun(c *common, conns, viewers int, rate float64, size int, seconds float64, warm time.Duration) (*report, error) {
	delta := deltaIn(size)
	if viewers < 1 || conns%viewers != 0 || delta < 1 || rate != math.Trunc(rate) {
		return nil, fmt.Errorf("--conns is a multiple of --viewers, --rate a whole number, --size at least %d", size-delta+1)
	}
	m := &streamMode{
		rate: int(rate), burst: 1, delta: delta, size: size, others: viewers - 1, what: "msg", exact: true,
		length: int(math.Ceil(seconds + warm.Seconds() + 3/rate)),
	}
	return streamRun(c, m, conns/viewers, warm, c.limit)
}
