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

// idleMode holds connections and does nothing with them but answer pings, once each has had one message echoed, if that is asked for.
type idleMode struct {
	e       *engine
	payload []byte // of the message; empty for none
	message []byte // the frame, its stamp to be filled in
	echoed  int
}

// underWay is how many connections have their message under way at a time. More would be a burst, which is not what is measured.
const underWay = 16

func newIdleMode(size int) *idleMode {
	m := &idleMode{}
	if size > 0 {
		m.payload = filler(size)
		m.message = appendMasked(nil, opBinary, m.payload)
	}
	return m
}

func (m *idleMode) onMessage(c *conn, f frame) error {
	switch {
	case c.echo.received == c.echo.sent:
		return errors.New("message that nobody asked for")
	case f.op != opBinary || len(f.payload) != len(m.payload) || !bytes.Equal(f.payload[stampSize:], m.payload[stampSize:]),
		binary.LittleEndian.Uint64(f.payload) != stampOf(c.index, 0):
		return errors.New("echo differs from what was sent")
	}
	c.echo.received++
	m.echoed++
	return nil
}

func (*idleMode) onTurn(*conn) error { return nil }

func (*idleMode) onClose(_ *conn, why string) error {
	return fmt.Errorf("lost while idle: %s", why)
}

// exchange has every connection send its message and waits for the echoes.
func (m *idleMode) exchange(limit time.Duration) error {
	e := m.e
	head := len(m.message) - len(m.payload)
	deadline := e.now() + int64(limit)
	for sent := 0; m.echoed < len(e.conns); {
		for ; sent < len(e.conns) && sent-m.echoed < underWay; sent++ {
			c := &e.conns[sent]
			binary.LittleEndian.PutUint64(m.message[head:], stampOf(c.index, 0)^mask8)
			c.echo.sent++
			if err := e.send(c, m.message); err != nil {
				return fmt.Errorf("connection %d: %w", sent, err)
			}
		}
		if err := e.poll(10); err != nil {
			return err
		}
		if e.now() > deadline {
			return fmt.Errorf("%d of %d messages were echoed in %v", m.echoed, len(e.conns), limit)
		}
	}
	return nil
}

func idleMain(args []string) (*common, *report, error) {
	var c common
	fs := flag.NewFlagSet("idle", flag.ExitOnError)
	c.register(fs, "ws://127.0.0.1:9001/")
	conns := fs.Int("conns", 15000, "connections; above 10,000 they leave from 127.0.0.2 and on")
	hold := fs.Duration("hold", 20*time.Second, "how long to hold them, counted from the last one opened")
	message := fs.Int("message", 0, "bytes of a message that each connection has had echoed before it rests; 0: none")
	settle := fs.Duration("settle", 10*time.Second, "when in that time to read the memory, the server's garbage being gone")
	fs.Parse(args)
	r, err := idleRun(&c, *conns, *message, *hold, *settle)
	return &c, r, err
}

func idleRun(c *common, conns, message int, hold, settle time.Duration) (*report, error) {
	if c.pid == 0 {
		return nil, errors.New("--pid is needed: memory is all that is measured")
	}
	if message != 0 && (message < stampSize || message > readBuffer/2) {
		return nil, fmt.Errorf("--message lies between %d and %d", stampSize, readBuffer/2)
	}
	m := newIdleMode(message)
	e, err := c.start(conns, m)
	if err != nil {
		return nil, err
	}
	m.e = e
	before, err := readMemory(c.pid)
	if err != nil {
		return nil, err
	}
	a, err := e.meter(c.pid)
	if err != nil {
		return nil, err
	}
	if err := e.openAll(c.limit); err != nil {
		return nil, err
	}
	b, err := e.meter(c.pid)
	if err != nil {
		return nil, err
	}
	rest := b
	if message > 0 {
		if err := m.exchange(c.limit); err != nil {
			return nil, err
		}
		if rest, err = e.meter(c.pid); err != nil {
			return nil, err
		}
	}
	settle = min(settle, hold)
	if err := e.until(rest.at+int64(settle), nil); err != nil {
		return nil, err
	}
	after, err := readMemory(c.pid)
	if err != nil {
		return nil, err
	}
	if err := e.until(rest.at+int64(hold), nil); err != nil {
		return nil, err
	}
	end, err := e.meter(c.pid)
	if err != nil {
		return nil, err
	}
	last, err := readMemory(c.pid)
	if err != nil {
		return nil, err
	}

	var r report
	n := float64(conns)
	each := func(after, before int64) float64 { return round(float64(after-before)/n, 1) }
	r.add("mode", "idle")
	r.add("conns", conns)
	r.add("message", message)
	r.add("bytes_per_conn", each(after.rss, before.rss))
	r.add("anon_per_conn", each(after.anon, before.anon))
	r.add("vmrss_per_conn", each(after.vmRSS, before.vmRSS))
	r.add("end_bytes_per_conn", each(last.rss, before.rss))
	r.add("rss_before", before.rss)
	r.add("rss_after", after.rss)
	r.add("pss_before", before.pss)
	r.add("pss_after", after.pss)
	r.add("open_seconds", round(float64(b.at-a.at)/1e9, 3))
	r.add("conns_per_s", round(n/(float64(b.at-a.at)/1e9), 0))
	r.add("server_us_per_open", round(float64(b.server-a.server)/1e3/n, 2))
	r.add("idle_server_cores", round(float64(end.server-rest.server)/float64(end.at-rest.at), 4))
	r.add("rss", end.rss)
	r.add("pings", e.pings)
	return &r, nil
}
