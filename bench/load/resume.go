//go:build linux

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"time"
)

// resumeConn is what a client keeps when its connection is cut.
type resumeConn struct {
	secret string // of its session
	run    view   // and how far it was received
	said   []byte // by the token before
	begun  int64  // when it dialled again, until the first event has come
	back   bool
}

// resumeMode has a run for each client, cuts all connections at once and has all clients return at
// once, as often as it is asked, while the runs go on. Every event must come once: offsets follow each
// other, and what each token says is that of the one before without its first letter.
type resumeMode struct {
	e                   *engine
	rate, delta, length int
	returns             int // of all clients, one after another; 0 is one
	ready               int // clients that have had a token
	resumed, finished   int
	events              uint64
	latency             latency
}

// last is the offset of a run's terminal event.
func (m *resumeMode) last() uint64 { return uint64(m.rate*m.length) + 4 }

func (m *resumeMode) onMessage(c *conn, f frame) error {
	switch {
	case f.op != opText:
		return errors.New("event in a binary frame")
	case isControl(f.payload):
		return m.onControl(c, f.payload)
	}
	v, err := c.wire.event()
	if err != nil {
		return err
	}
	k := &c.resume
	k.run = *v
	if k.begun != 0 {
		m.latency.record(m.e.stamp - k.begun)
		k.begun = 0
		m.resumed++
	}
	m.events++
	if err := m.check(k, f.payload); err != nil {
		return fmt.Errorf("event %d of %s: %w: %q", v.next-1, v.run, err, f.payload)
	}
	return nil
}

// check is told of each event of a run.
func (m *resumeMode) check(k *resumeConn, event []byte) error {
	want := ""
	switch offset := k.run.next - 1; {
	case offset == 1:
		want = `{"type":"RUN_STARTED",`
	case offset == 2:
		want = `{"type":"TEXT_MESSAGE_START",`
	case offset == m.last()-1:
		want = `{"type":"TEXT_MESSAGE_END",`
	case offset == m.last():
		want = `{"type":"RUN_FINISHED",`
		m.finished++
	case offset > m.last():
		return errors.New("it comes behind the end of the run")
	case offset == 3:
		m.ready++
		fallthrough
	default:
		want = string(contentPrefix)
		_, said, _ := bytes.Cut(event, []byte(`"delta":"`))
		if len(said) < m.delta {
			return fmt.Errorf("less than %d bytes of text", m.delta)
		}
		said = said[:m.delta]
		if offset > 3 && !bytes.Equal(k.said[1:], said[:m.delta-1]) {
			return fmt.Errorf("its text does not follow %q: lost or doubled", k.said)
		}
		k.said = append(k.said[:0], said...)
	}
	if !bytes.HasPrefix(event, []byte(want)) {
		return errors.New("out of order")
	}
	return nil
}

// onControl asks for the rest of the run as soon as the client is greeted again.
func (m *resumeMode) onControl(c *conn, b []byte) error {
	m.e.frames-- // which are those of events
	k, greeted := &c.resume, c.wire.greeted
	v, err := c.wire.control(b)
	switch {
	case err != nil:
		return err
	case v != nil && !k.back:
		k.run = *v
	case v != nil && *v != view{v.number, k.run.run, k.run.epoch, k.run.next}:
		return fmt.Errorf("%s goes on at %+v, it was received up to %+v", k.run.run, *v, k.run)
	case greeted || !c.wire.greeted:
	case k.back:
		return m.e.send(c, append(binding(k.secret), attaching(c.index, k.run.epoch, k.run.next-1)...))
	default:
		k.secret = c.wire.secret
	}
	return nil
}

func (m *resumeMode) onTurn(*conn) error { return nil }

func (m *resumeMode) onClose(c *conn, why string) error {
	return fmt.Errorf("closed behind event %d: %s", c.resume.run.next-1, why)
}

// cutAll ends all connections at once.
func (m *resumeMode) cutAll() error {
	for i := range m.e.conns {
		c := &m.e.conns[i]
		if err := m.e.cut(c); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		c.wire, c.resume.back = wireConn{}, true
	}
	return nil
}

// dialAll has all clients dial at once. What has come meanwhile is read now and then, since other
// clients do not wait until all have dialled.
func (m *resumeMode) dialAll() error {
	for i := range m.e.conns {
		c := &m.e.conns[i]
		c.resume.begun = m.e.now()
		if err := m.e.connect(c, i); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if i%16 == 15 {
			if err := m.e.poll(0); err != nil {
				return err
			}
		}
	}
	return nil
}

// again cuts all connections, and has the clients return after a while. The window is that of the return.
func (m *resumeMode) again(c *common, away time.Duration, await func() error) (a, b meter, err error) {
	e := m.e
	if err = m.cutAll(); err != nil {
		return a, b, err
	}
	if err = e.until(e.now()+int64(away), nil); err != nil {
		return a, b, err
	}
	if a, err = e.meter(c.pid); err != nil {
		return a, b, err
	}
	e.awake, m.resumed = e.ownCore, 0
	if err = e.clocks(&a, c.pid); err != nil {
		return a, b, err
	}
	if err = m.dialAll(); err != nil {
		return a, b, err
	}
	if err = await(); err != nil {
		return a, b, err
	}
	e.awake = false
	b, err = e.meter(c.pid)
	return a, b, err
}

func resumeMain(args []string) (*common, *report, error) {
	var c common
	m := &resumeMode{}
	fs := flag.NewFlagSet("resume", flag.ExitOnError)
	c.register(fs, "ws://127.0.0.1:9002/ws")
	clients := fs.Int("clients", 2000, "clients, each with a run and a connection of its own")
	fs.IntVar(&m.rate, "rate", 2, "tokens per second of a run")
	fs.IntVar(&m.delta, "delta", 40, "bytes of text in a token")
	fs.IntVar(&m.length, "seconds", 6, "length of a run")
	fs.IntVar(&m.returns, "returns", 1, "how often all connections are cut and come back")
	warm := fs.Duration("warm", time.Second, "time until all connections are cut")
	away := fs.Duration("away", 2*time.Second, "time until all clients return")
	fs.Parse(args)
	r, err := resumeRun(&c, m, *clients, *warm, *away)
	return &c, r, err
}

func resumeRun(c *common, m *resumeMode, clients int, warm, away time.Duration) (*report, error) {
	returns := max(m.returns, 1)
	switch {
	case m.rate < 1 || m.delta < 2:
		return nil, errors.New("--rate lies above 0, --delta above 1")
	case away < 2*time.Second/time.Duration(m.rate):
		return nil, fmt.Errorf("--away %v does not leave a run of %d tokens a second any to resume with", away, m.rate)
	case warm+time.Duration(returns)*away > time.Duration(m.length)*time.Second:
		return nil, fmt.Errorf("runs of %d s are over before the clients return", m.length)
	}
	c.protocol = protocolV1
	e, err := c.start(clients, m)
	if err != nil {
		return nil, err
	}
	m.e, m.latency = e, newLatency()
	if err := c.openAll(e); err != nil {
		return nil, err
	}
	err = e.spread(clients, int64(time.Second)/int64(m.rate), func(i int) error {
		return e.send(&e.conns[i], input(int32(i), m.rate, 1, m.delta, float64(m.length), 0))
	})
	if err != nil {
		return nil, err
	}
	await := func(n *int, what string) error {
		if err := e.awaitReplies(c.drain, func() bool { return *n == clients }); err != nil {
			return err
		}
		if *n != clients {
			return fmt.Errorf("%d of %d clients %s", *n, clients, what)
		}
		return nil
	}
	if err := e.until(e.now()+int64(warm), nil); err != nil {
		return nil, err
	}
	if err := await(&m.ready, "had a token"); err != nil {
		return nil, err
	}
	var from, to meter
	for i := range returns {
		a, b, err := m.again(c, away, func() error { return await(&m.resumed, "had an event again") })
		if err != nil {
			return nil, err
		}
		if i == 0 {
			from, to = a, b
		} else {
			to.lengthen(a, b)
		}
	}
	if err := await(&m.finished, "had the end of their run"); err != nil {
		return nil, err
	}

	var r report
	r.add("mode", "resume")
	r.add("clients", clients)
	r.add("rate", m.rate)
	r.add("away_ms", away.Milliseconds())
	r.add("returns", returns)
	r.windowOf(from, to, c.pid, "conn", uint64(returns*clients))
	m.latency.report(&r, "")
	r.add("finished", m.finished)
	r.add("checked", m.events)
	return &r, nil
}
