//go:build linux

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// send writes b, in records of TLS if the connection has it.
func (e *engine) send(c *conn, b []byte) error {
	if c.tls == nil {
		return e.transmit(c, b)
	}
	if _, err := c.tls.tls.Write(b); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	return e.sendSealed(c)
}

// transmit writes b, and keeps what the kernel does not take.
func (e *engine) transmit(c *conn, b []byte) error {
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return nil
	}
	n, errno := sysWrite(c.fd, b)
	if errno == unix.EAGAIN || errno == unix.EINTR {
		n = 0
	} else if errno != 0 {
		return e.close(c, errno.Error())
	}
	if n < len(b) {
		c.out = append(c.out, b[n:]...)
		return e.arm(c, true)
	}
	return nil
}

func (e *engine) flush(c *conn) error {
	n, errno := sysWrite(c.fd, c.out)
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return nil
	} else if errno != 0 {
		return e.close(c, errno.Error())
	}
	c.out = c.out[:copy(c.out, c.out[n:])]
	if len(c.out) > 0 {
		return nil
	}
	return e.arm(c, false)
}

func (e *engine) arm(c *conn, write bool) error {
	if c.armed == write {
		return nil
	}
	c.armed = write
	return e.watch(unix.EPOLL_CTL_MOD, c)
}

func (e *engine) watch(op int, c *conn) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: c.index}
	if c.armed {
		ev.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(e.ep, op, int(c.fd), &ev)
}

// close removes the connection. The mode reports whether that is an error.
func (e *engine) close(c *conn, why string) error {
	was := c.state
	e.forget(c)
	if was != open {
		return fmt.Errorf("during the handshake: %s", why)
	}
	return e.mode.onClose(c, why)
}

// cut ends a connection with a reset, of which the mode is not told. It leaves no TIME_WAIT behind.
func (e *engine) cut(c *conn) error {
	if c.state == idle || c.state == closed {
		return nil
	}
	if err := unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return err
	}
	e.forget(c)
	return nil
}

func (e *engine) forget(c *conn) {
	unix.Close(int(c.fd))
	c.state = closed
	c.tail, c.out = c.tail[:0], c.out[:0]
	if c.tls != nil {
		c.tls.stop() // a handshake that has not ended
		c.tls = nil
	}
	c.deflate = nil
}
