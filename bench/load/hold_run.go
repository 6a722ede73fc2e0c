//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// run has one run on each of the connections that are to have one, all at a time. Their first tenth
// is not measured.
func (m *holdMode) run(late time.Duration) error {
	e := m.e
	m.finished, m.measuring = 0, false
	m.latency.reset()
	runs := (len(e.conns) + m.every - 1) / m.every
	begin, frames := e.now(), e.frames
	// Over one interval, so that the bursts of different runs do not fall together.
	err := e.spread(runs, m.interval, func(i int) error {
		c := &e.conns[i*m.every]
		c.run = runConn{}
		return e.send(c, m.input(c.index))
	})
	if err != nil {
		return err
	}
	length := int64(m.length) * int64(time.Second)
	if err := e.until(begin+m.interval+length/10, nil); err != nil {
		return err
	}
	m.measuring = true
	all := func() bool { return m.finished == runs }
	if err := e.until(begin+2*m.interval+length+int64(late), all); err != nil {
		return err
	}
	if !all() {
		return fmt.Errorf("%d of %d runs had not finished %v after their time", runs-m.finished, runs, late)
	}
	seconds := float64(e.now()-begin) / 1e9
	// All values are sent, because a percentile of all processes cannot be computed from theirs.
	coded, err := m.latency.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return fmt.Errorf("encode the latencies: %w", err)
	}
	return m.answer("run", func(r *report) {
		r.add("runs", runs)
		r.add("events", e.frames-frames)
		r.add("seconds", round(seconds, 3))
		r.add("latency", string(coded))
	})
}

// ping asks every connection whether it is alive. A pong must carry the number of its connection.
func (m *holdMode) ping(limit time.Duration) error {
	e := m.e
	begin := e.now()
	alive := make([]bool, len(e.conns))
	missing := len(e.conns)
	for i := range e.conns {
		if err := e.send(&e.conns[i], appendMasked(nil, opPing, binary.LittleEndian.AppendUint32(nil, uint32(i)))); err != nil {
			return err
		}
		if i%128 == 127 { // read what has arrived meanwhile
			n, err := m.pongs(0, alive)
			if err != nil {
				return err
			}
			missing -= n
		}
	}
	for missing > 0 && e.now()-begin < int64(limit) {
		n, err := m.pongs(1e7, alive)
		if err != nil {
			return err
		}
		missing -= n
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d connections sent no pong within %v", missing, len(e.conns), limit)
	}
	return m.answer("ping", func(r *report) {
		r.add("pongs", len(e.conns))
		r.add("seconds", round(float64(e.now()-begin)/1e9, 3))
		r.add("pinged", e.pings) // by the servers, since the beginning
	})
}

// pongs waits as the engine does and also reads pongs, which the engine ignores. It counts the
// connections whose first pong has arrived.
func (m *holdMode) pongs(ns int64, alive []bool) (found int, err error) {
	e := m.e
	n, errno := epollWait(e.ep, e.evs, ns)
	if errno == unix.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, fmt.Errorf("epoll_pwait2: %w", errno)
	}
	for i := range e.evs[:n] {
		ev := &e.evs[i]
		c := &e.conns[ev.Fd]
		first, err := m.readPongs(c, ev.Events, alive)
		if err != nil {
			return found, fmt.Errorf("connection %d: %w", ev.Fd, err)
		}
		if first {
			found++
		}
	}
	return found, nil
}

// readPongs reads all that has arrived, as the engine's read does, and reports whether it had the
// first pong of c.
func (m *holdMode) readPongs(c *conn, events uint32, alive []bool) (first bool, err error) {
	e := m.e
	if events&(unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) != 0 || c.state != open {
		return false, errors.New("lost while pinged")
	}
	if events&unix.EPOLLOUT != 0 && len(c.out) > 0 {
		if err := e.flush(c); err != nil {
			return false, err
		}
	}
	for {
		kept := copy(e.buf, c.tail)
		n, errno := sysRead(c.fd, e.buf[kept:])
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return false, nil
		case errno != 0:
			return false, fmt.Errorf("lost while pinged: %w", errno)
		}
		rest, first, err := m.pongsIn(c, e.buf[:kept+n], alive)
		c.tail = append(c.tail[:0], rest...)
		return first, err
	}
}

func (m *holdMode) pongsIn(c *conn, b []byte, alive []bool) (rest []byte, first bool, err error) {
	for {
		f, took, err := parseFrame(b)
		if err != nil || took == 0 {
			return b, first, err
		}
		b = b[took:]
		switch {
		case f.op == opPong && len(f.payload) == 4 && binary.LittleEndian.Uint32(f.payload) == uint32(c.index):
			first = first || !alive[c.index]
			alive[c.index] = true
		case f.op == opPing || f.op == opClose:
			if err := m.e.handleOther(c, f); err != nil {
				return b, first, err
			}
		default:
			return b, first, fmt.Errorf("frame of opcode %#x and %d bytes, a pong was asked for", f.op, len(f.payload))
		}
	}
}
