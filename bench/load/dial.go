//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"

	"golang.org/x/sys/unix"
)

// The key is fixed: servers do the same work for any. It is the example of RFC 6455 §1.3.
const (
	wsKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	wsAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// perAddress is how many connections leave from one source address. The usual range has 28,232 ports, and the kernel
// tries the even ones first: from 14,116 on it searches, and opening costs the load more than the server.
const perAddress = 10000

type target struct {
	addr    unix.SockaddrInet4
	request []byte
}

func parseTarget(raw string) (t target, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return t, err
	}
	if u.Scheme != "ws" {
		return t, fmt.Errorf("%q: only ws:// is spoken here", raw)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	a, err := net.ResolveTCPAddr("tcp4", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return t, err
	}
	t.addr.Port = a.Port
	copy(t.addr.Addr[:], a.IP.To4())
	t.request = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", u.RequestURI(), u.Host, wsKey)
	return t, nil
}

func (e *engine) connect(c *conn, index int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.fd, c.index, c.state, c.armed = int32(fd), int32(index), connecting, true
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	if e.dial > perAddress {
		// The port is picked at connect, so that each source address has the whole range to itself.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return err
		}
		from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + index/perAddress)}}
		if err := unix.Bind(fd, from); err != nil {
			return fmt.Errorf("bind to a source address: %w", err)
		}
	}
	if err := unix.Connect(fd, &e.target.addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	e.dialed++
	e.handshake++
	return e.watch(unix.EPOLL_CTL_ADD, c)
}

// connected sends the upgrade request once the socket is there.
func (e *engine) connected(c *conn) error {
	code, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return e.close(c, unix.Errno(code).Error())
	}
	c.state = upgrading
	if err := e.arm(c, false); err != nil {
		return err
	}
	return e.send(c, e.target.request)
}

// upgraded checks the server's answer and returns how many bytes of b it takes: none while it is incomplete.
func (e *engine) upgraded(c *conn, b []byte) (int, error) {
	head, _, whole := bytes.Cut(b, []byte("\r\n\r\n"))
	if !whole {
		return 0, nil
	}
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 101")) {
		return 0, fmt.Errorf("upgrade refused: %q", line)
	}
	if !bytes.Contains(fields, []byte(": "+wsAccept)) {
		return 0, errors.New("upgrade: Sec-WebSocket-Accept is missing or wrong")
	}
	c.state = open
	e.handshake--
	e.opened++
	return len(head) + 4, nil
}
