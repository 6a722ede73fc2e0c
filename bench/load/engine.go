//go:build linux

package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

type state uint8

const (
	idle state = iota
	connecting
	securing // the TLS handshake
	upgrading
	open
	closed
)

// mode is what the load does with its connections. All methods are called by the engine, on its one
// thread.
type mode interface {
	onMessage(c *conn, f frame) error // one whole text or binary frame
	onTurn(c *conn) error             // after the frames of one read
	onClose(c *conn, why string) error
}

// lifecycle is what a mode also has that opens and closes connections while it measures.
type lifecycle interface {
	onOpen(c *conn) error                       // the upgrade is done
	onCloseFrame(c *conn, payload []byte) error // instead of an answer to it
}

type conn struct {
	fd      int32
	index   int32
	state   state
	armed   bool   // waits for EPOLLOUT
	tail    []byte // bytes of a frame that has not all come; empty nearly always
	out     []byte // bytes the kernel did not take
	tls     *secured
	deflate *inflater
	echo    echoConn
	run     runConn
	wire    wireConn
	sse     sseConn
	resume  resumeConn
	cycle   cycleConn
	fanout  fanoutConn
}

type engine struct {
	ep       int
	mode     mode
	life     lifecycle // the mode again, or nil
	target   target
	from     sources
	conns    []conn
	evs      []unix.EpollEvent
	buf      []byte // what was read; with TLS, decrypted
	cipher   []byte // with TLS, what was read
	sealed   []byte // with TLS, what is to be sent
	deflated inflating
	base     time.Time

	ownCore bool  // nobody else runs here
	awake   bool  // polls without sleeping while it waits
	idle    int64 // nanoseconds waited awake

	// pace, if there is one, does what is due by now and says when to ask it again.
	pace     func(now int64) (next int64, err error)
	openLoop bool // what is asked for does not depend on what has come back
	// serverCores is how many cores the server may use; 0: those it is bound to.
	serverCores float64

	dial      int // connections to open in all
	dialed    int // connections begun
	handshake int // begun and not open yet
	bound     int // most handshakes at once
	opened    int

	stamp  int64  // when the present read returned; the clock is read once for each
	reads  uint64 // reads that brought frames
	frames uint64 // data frames, or messages where they are compressed
	wire   uint64 // bytes of the data frames, their headers included
	plain  uint64 // and what they would be, not compressed and each message in one frame
	pings  uint64
}

func newEngine(t target, conns, bound int, m mode) (*engine, error) {
	if err := raiseFiles(conns + 32); err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	life, _ := m.(lifecycle)
	e := &engine{
		ep: ep, mode: m, life: life, target: t, dial: conns, bound: bound,
		conns: make([]conn, conns), evs: make([]unix.EpollEvent, 1024), buf: make([]byte, readBuffer), base: time.Now(),
	}
	if t.tls != nil {
		e.cipher = make([]byte, sealedBuffer)
		e.buf = make([]byte, readBuffer+sealedBuffer+restOfRecord)
	}
	return e, nil
}

// now is nanoseconds on the monotonic clock since the engine began.
func (e *engine) now() int64 { return int64(time.Since(e.base)) }

// openAll opens every connection, never more than bound at a time.
func (e *engine) openAll(limit time.Duration) error {
	deadline := e.now() + int64(limit)
	for e.opened < e.dial {
		for e.dialed < e.dial && e.handshake < e.bound {
			if err := e.connect(&e.conns[e.dialed], e.dialed); err != nil {
				return fmt.Errorf("connection %d: %w", e.dialed, err)
			}
		}
		if err := e.poll(10); err != nil {
			return err
		}
		if e.now() > deadline {
			return fmt.Errorf("%d of %d connections open after %v", e.opened, e.dial, limit)
		}
	}
	return nil
}

// until serves the connections until a time. done, if given, may end it earlier.
func (e *engine) until(at int64, done func() bool) error {
	for {
		now := e.now()
		if now >= at || (done != nil && done()) {
			return nil
		}
		next := at
		if e.pace != nil {
			due, err := e.pace(now)
			if err != nil {
				return err
			}
			next, now = min(at, due), e.now()
		}
		if err := e.wait(max(next-now, 0)); err != nil {
			return err
		}
	}
}

// spread does something n times, evenly over so many nanoseconds, and serves the connections meanwhile.
func (e *engine) spread(n int, over int64, do func(i int) error) error {
	begin := e.now()
	for i := range n {
		if err := e.until(begin+int64(i)*over/int64(n), nil); err != nil {
			return err
		}
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

// poll waits up to ms milliseconds and serves what is ready.
func (e *engine) poll(ms int) error { return e.wait(int64(ms) * 1e6) }

// wait is poll in nanoseconds.
func (e *engine) wait(ns int64) error {
	n, errno := e.events(ns)
	if errno == unix.EINTR {
		return nil
	}
	if errno != 0 {
		return fmt.Errorf("epoll_pwait2: %w", errno)
	}
	for i := range e.evs[:n] {
		ev := &e.evs[i]
		if err := e.serve(&e.conns[ev.Fd], ev.Events); err != nil {
			return fmt.Errorf("connection %d: %w", ev.Fd, err)
		}
	}
	return nil
}

// events waits for them, asleep or awake.
func (e *engine) events(ns int64) (n int, errno unix.Errno) {
	if !e.awake {
		return epollWait(e.ep, e.evs, ns)
	}
	begin := e.now()
	for at := begin; ; at = e.now() {
		if at > begin+ns {
			e.idle += at - begin
			return 0, 0
		}
		if n, errno = epollWait(e.ep, e.evs, 0); n != 0 || errno != 0 {
			e.idle += at - begin
			return n, errno
		}
	}
}

func (e *engine) serve(c *conn, events uint32) error {
	switch c.state {
	case connecting:
		return e.connected(c)
	case idle, closed:
		return nil
	}
	if events&unix.EPOLLOUT != 0 && len(c.out) > 0 {
		if err := e.flush(c); err != nil || c.state == closed {
			return err
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		return e.read(c, events)
	}
	return nil
}

// read reads all that has arrived. Usually that is one read: a read that does not fill the buffer
// has emptied the socket, which is edge-triggered and reports later bytes again. An end that was
// reported together with the last bytes is not reported again.
func (e *engine) read(c *conn, events uint32) error {
	for {
		kept := copy(e.buf, c.tail)
		into := e.buf[kept:]
		if c.tls != nil {
			into = e.cipher
		}
		n, errno := sysRead(c.fd, into)
		e.stamp = e.now()
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return nil
		case errno != 0:
			return e.close(c, errno.Error())
		case n == 0:
			return e.close(c, endOfStream)
		}
		full, end := n == len(into), false
		if c.tls != nil {
			var err error
			if n, end, err = e.unseal(c, e.cipher[:n], e.buf[kept:]); err != nil || c.state == closed {
				return err
			}
		}
		if n > 0 {
			c.tail = c.tail[:0]
			handle := e.handleFrames
			if e.target.sse {
				handle = e.handleStream
			}
			if err := handle(c, e.buf[:kept+n]); err != nil || c.state == closed {
				return err
			}
		}
		switch {
		case end:
			return e.close(c, endOfStream)
		case full:
		case events&(unix.EPOLLERR|unix.EPOLLHUP) != 0:
		case events&unix.EPOLLRDHUP != 0:
			return e.close(c, endOfStream)
		default:
			return nil
		}
	}
}

const endOfStream = "end of stream"

// handleFrames passes the frames in b to the mode and keeps an incomplete one.
func (e *engine) handleFrames(c *conn, b []byte) error {
	if c.state == upgrading {
		took, err := e.upgraded(c, b)
		if err != nil {
			return err
		}
		if c.state == open && e.life != nil {
			if err := e.life.onOpen(c); err != nil {
				return err
			}
		}
		if b = b[took:]; c.state == upgrading || len(b) == 0 {
			c.tail = append(c.tail, b...)
			return nil
		}
	}
	e.reads++
	for len(b) > 0 {
		f, took, err := parseFrame(b)
		if err != nil {
			return err
		}
		if took == 0 {
			c.tail = append(c.tail, b...)
			break
		}
		b = b[took:]
		if f.op <= opBinary {
			e.wire += uint64(took)
			if c.deflate != nil {
				var whole bool
				if f, whole, err = c.deflate.take(f, &e.deflated); err != nil {
					return err
				} else if !whole {
					continue
				}
				took = headerSize(len(f.payload)) + len(f.payload)
			}
			e.plain += uint64(took)
		}
		if f.rsv1 {
			return errReserved
		}
		if f.op > opBinary || f.op == opContinuation || !f.fin {
			if err := e.handleOther(c, f); err != nil || c.state == closed {
				return err
			}
			continue
		}
		e.frames++
		if err := e.mode.onMessage(c, f); err != nil {
			return err
		}
	}
	return e.mode.onTurn(c)
}

// handleOther handles a frame that is no whole data message.
func (e *engine) handleOther(c *conn, f frame) error {
	switch f.op {
	case opPing:
		e.pings++
		return e.send(c, appendMasked(nil, opPong, f.payload))
	case opPong:
		return nil
	case opClose:
		if e.life != nil {
			return e.life.onCloseFrame(c, f.payload)
		}
		why := "close frame without a code"
		if len(f.payload) >= 2 {
			why = fmt.Sprintf("close %d %s", int(f.payload[0])<<8|int(f.payload[1]), f.payload[2:])
		}
		if err := e.send(c, appendMasked(nil, opClose, f.payload)); err != nil || c.state == closed {
			return err
		}
		return e.close(c, why)
	}
	return errFragmented
}
