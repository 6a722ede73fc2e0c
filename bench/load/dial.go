//go:build linux

package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"

	"golang.org/x/sys/unix"
)

// The key is fixed: servers do the same work for any. It is the example of RFC 6455 §1.3.
const (
	wsKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	wsAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// perAddress is how many connections leave from one source address. The usual range has 28,232
// ports, and the kernel tries the even ones first: from 14,116 on it searches, and opening costs
// the load more than the server.
const perAddress = 10000

// addresses is how many source addresses connections that come and go take in turn. A server that
// closes first keeps each pair of ports for a minute; 249 times the range of ports is more than a
// minute can use.
const addresses = 249

type target struct {
	addr    unix.SockaddrInet4
	host    string
	request []byte
	tls     *tls.Config // nil without TLS
	sse     bool        // runs are asked for over HTTP, and streamed
	path    string
	// hostPort is the host and the port, as Host has them.
	hostPort string
	deflate  string // the extension that is offered; "": none
}

func parseTarget(raw string) (t target, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return t, err
	}
	t.host, t.hostPort, t.path = u.Hostname(), u.Host, u.RequestURI()
	port := u.Port()
	switch {
	case u.Scheme == "wss":
		t.secure()
		port = cmp.Or(port, "443")
	case u.Scheme == "ws", u.Scheme == "http":
		t.sse = u.Scheme == "http"
		port = cmp.Or(port, "80")
	default:
		return t, fmt.Errorf("%q: only ws://, wss:// and http:// are spoken here", raw)
	}
	a, err := net.ResolveTCPAddr("tcp4", net.JoinHostPort(t.host, port))
	if err != nil {
		return t, err
	}
	t.addr.Port = a.Port
	copy(t.addr.Addr[:], a.IP.To4())
	t.request = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", u.RequestURI(), u.Host, wsKey)
	return t, nil
}

// secure has the load speak TLS, as Go has it: 1.3 with AES-GCM where the processor has that. The certificate is not checked, its
// signature in the handshake is. Messages are not cut into smaller records than they must be.
func (t *target) secure() {
	t.tls = &tls.Config{ServerName: t.host, InsecureSkipVerify: true, DynamicRecordSizingDisabled: true}
}

// offer adds a subprotocol and an extension to the request, unless they are "".
func (t *target) offer(protocol, extension string) {
	t.deflate = extension
	for name, value := range map[string]string{"Protocol": protocol, "Extensions": extension} {
		if value != "" {
			head := bytes.TrimSuffix(t.request, []byte("\r\n"))
			t.request = fmt.Appendf(head, "Sec-WebSocket-%s: %s\r\n\r\n", name, value)
		}
	}
}

// extensions is the value of Sec-WebSocket-Extensions in a server's answer.
func extensions(fields []byte) string {
	for line := range bytes.SplitSeq(fields, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Sec-WebSocket-Extensions")) {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// sources are the source addresses of the connections.
type sources struct {
	first  uint32 // 0: the kernel chooses
	spread bool   // each connection from the next address, instead of perAddress from each
}

// sourcesFor chooses the source addresses of conns connections: those given, or 127.0.0.2 and
// following if one address has too few ports.
func sourcesFor(t target, given string, conns int, comeAndGo bool) (s sources, err error) {
	s.spread = comeAndGo
	first := netip.AddrFrom4([4]byte{127, 0, 0, 2})
	switch {
	case given != "":
		if first, err = netip.ParseAddr(given); err != nil || !first.Is4() {
			return s, fmt.Errorf("--source %s is no IPv4 address", given)
		}
	case t.addr.Addr[0] != 127, conns <= perAddress && !comeAndGo:
		return s, nil
	}
	a := first.As4()
	s.first = binary.BigEndian.Uint32(a[:])
	return s, nil
}

// address is the one of the nth connection.
func (s *sources) address(n int) (a [4]byte) {
	if s.spread {
		n %= addresses
	} else {
		n /= perAddress
	}
	binary.BigEndian.PutUint32(a[:], s.first+uint32(n))
	return a
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
	if e.from.first != 0 {
		// The port is picked at connect, so that each source address has the whole range to itself.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: e.from.address(e.dialed)}); err != nil {
			return fmt.Errorf("bind to a source address: %w", err)
		}
	}
	if err := unix.Connect(fd, &e.target.addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	e.dialed++
	e.handshake++
	if e.target.sse { // the request is that of the run
		return e.watch(unix.EPOLL_CTL_ADD, c)
	}
	first := e.target.request
	if e.target.tls != nil {
		c.tls = newSecured(e.target.tls, &e.sealed)
		if _, err := c.tls.proceed(); err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		first, e.sealed = e.sealed, e.sealed[:0]
	}
	// On the loopback the connection is there already, mostly.
	n, errno := sysWrite(c.fd, first)
	switch {
	case errno == 0 && n == len(first):
		c.state, c.armed = e.greeting(), false
	case errno == 0:
		return fmt.Errorf("the kernel took %d of the %d bytes of a first write", n, len(first))
	case errno != unix.EAGAIN && errno != unix.ENOTCONN:
		return e.close(c, errno.Error())
	default:
		c.out = append(c.out, first...)
	}
	return e.watch(unix.EPOLL_CTL_ADD, c)
}

// greeting is the state of a connection that has sent its first bytes.
func (e *engine) greeting() state {
	if e.target.tls != nil {
		return securing
	}
	return upgrading
}

// connected sends the first bytes once the socket is there.
func (e *engine) connected(c *conn) error {
	code, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return e.close(c, unix.Errno(code).Error())
	}
	if c.state = e.greeting(); e.target.sse {
		e.handshake--
		e.opened++
		return e.arm(c, false)
	}
	return e.flush(c)
}

// upgraded checks the server's answer and returns how many bytes of b it takes: none while it is
// incomplete.
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
	if e.target.deflate != "" {
		var err error
		if c.deflate, err = newInflater(e.target.deflate, extensions(fields)); err != nil {
			return 0, err
		}
	}
	c.state = open
	e.handshake--
	e.opened++
	return len(head) + 4, nil
}
