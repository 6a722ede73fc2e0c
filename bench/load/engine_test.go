//go:build linux

package main

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is an engine with one open connection, and the server's end of it.
func pair(t *testing.T, m mode) (*engine, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(target{}, 1, 1, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(fds[0])
		unix.Close(fds[1])
		unix.Close(e.ep)
	})
	e.conns[0] = conn{fd: int32(fds[0]), state: open}
	if err := e.watch(unix.EPOLL_CTL_ADD, &e.conns[0]); err != nil {
		t.Fatal(err)
	}
	return e, fds[1]
}

func TestMeasuringAllocatesNothing(t *testing.T) {
	closedLoop, openLoop := newClosedEcho(1, 1, 100), newOpenEcho(1e9, 100)
	closedLoop.measuring = true
	openLoop.from = 0
	for name, m := range map[string]*echoMode{"closed loop": closedLoop, "open loop": openLoop} {
		t.Run(name, func(t *testing.T) {
			e, server := pair(t, m)
			m.e = e
			if err := m.begin(1); err != nil {
				t.Fatal(err)
			}
			reply := serverFrame(opBinary, string(m.payload))
			count := uint32(0)
			buf := make([]byte, 1<<16)
			one := func() {
				if m.pacer != nil && m.received == m.sent {
					if _, err := e.pace(e.now()); err != nil {
						t.Fatal(err)
					}
				}
				unix.Read(server, buf)
				binary.LittleEndian.PutUint64(reply[2:], stampOf(0, count))
				count++
				unix.Write(server, reply)
				if err := e.wait(int64(time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			if n := testing.AllocsPerRun(200, one); n != 0 {
				t.Errorf("%g allocations an echo", n)
			}
			if m.received != uint64(count) || m.latency.h.TotalCount() != int64(count) {
				t.Errorf("%d replies, %d checked, %d latencies", count, m.received, m.latency.h.TotalCount())
			}
		})
	}
}

// The end of a stream is announced together with the last bytes, once.
func TestReadsToTheEnd(t *testing.T) {
	m := &recorder{}
	e, server := pair(t, m)
	unix.Write(server, append(serverFrame(opText, "last"), serverFrame(opText, "words")...))
	unix.Shutdown(server, unix.SHUT_WR)
	if err := e.until(e.now()+int64(time.Second), func() bool { return m.why != "" }); err != nil {
		t.Fatal(err)
	}
	if m.messages != 2 || m.why != endOfStream {
		t.Errorf("%d messages, then %q", m.messages, m.why)
	}
}

// What is on the wire is counted, and what it would be without compression.
func TestWireIsCounted(t *testing.T) {
	m := &recorder{}
	e, server := pair(t, m)
	from := newDeflater(true, 6)
	e.conns[0].deflate = takerOf(t, takeover)
	wire, plain := 0, 0
	for range 3 {
		text := strings.Repeat("over and over ", 20)
		f := serverFrame(opText, string(from.message([]byte(text))))
		f[0] |= 0x40
		unix.Write(server, f)
		wire += len(f)
		plain += len(serverFrame(opText, text))
	}
	unix.Write(server, serverFrame(opText, "hi"))
	unix.Write(server, serverFrame(opPing, ""))
	if err := e.until(e.now()+int64(time.Second), func() bool { return e.pings == 1 }); err != nil {
		t.Fatal(err)
	}
	if m.messages != 4 || e.frames != 4 || e.wire != uint64(wire+4) || e.plain != uint64(plain+4) || e.wire >= e.plain/3 {
		t.Errorf("%d messages, %d frames, %d and %d bytes; want %d and %d", m.messages, e.frames, e.wire, e.plain, wire+4, plain+4)
	}
	f := serverFrame(opText, "compressed")
	f[0] |= 0x40
	e.conns[0].deflate = nil
	unix.Write(server, f)
	err := e.until(e.now()+int64(time.Second), func() bool { return m.messages > 4 })
	check(t, err, errReserved.Error())
}

type recorder struct {
	messages int
	why      string
}

func (m *recorder) onMessage(*conn, frame) error { m.messages++; return nil }
func (m *recorder) onTurn(*conn) error           { return nil }
func (m *recorder) onClose(_ *conn, why string) error {
	m.why = why
	return nil
}

// Replies of several reads, each as large as the buffer is.
func TestEchoLarge(t *testing.T) {
	c := serve(t, good)
	r, err := echoRun(&c, echoSettings{conns: 2, inflight: 6, size: readBuffer / 2, seconds: 0.2})
	check(t, err, "")
	if err == nil && value[uint64](t, r, "checked") < 12 {
		t.Errorf("report %s", r.text())
	}
}

func TestEchoOnOldKernel(t *testing.T) {
	coarse = true
	defer func() { coarse = false }()
	c := serve(t, good)
	_, err := echoRun(&c, echoSettings{conns: 2, inflight: 1, rate: 500, size: 100, seconds: 0.1})
	check(t, err, "")
}
