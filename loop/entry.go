package loop

import (
	"net"
	"net/netip"
	"time"

	"github.com/agloop/agloop/auth"
)

// ConnInfo says what a connection is.
type ConnInfo struct {
	ID        ID
	Principal auth.Principal
	// Remote is the client's address, see auth.Request.
	Remote   netip.AddrPort
	Path     string // without its escapes
	Protocol string // "" for none
	Opened   time.Time
}

// entry is what the door noted of a connection when it let it in. It takes the place of Conn.user,
// and only where somebody asks for it: a connection of a door that asks nobody has none.
type entry struct {
	// Immutable once the handler has been told of the connection.
	info   ConnInfo // as it was let in
	values []any    // of the Grant that let it in
	later  *later   // nil where its client may send no tokens

	// Whoever has the connection: this loop, or who is putting it there.
	user      any
	network   netip.Prefix // whose place it takes; zero for none
	principal string       // whose place it takes
	expires   uint32       // tick at which it is closed; 0: never
}

// entry is nil where the door noted nothing.
func (c *Conn) entry() *entry {
	e, _ := c.user.(*entry)
	return e
}

// User returns what SetUser stored, at first the Principal's Value. On the loop, in callbacks.
func (c *Conn) User() any {
	if e := c.entry(); e != nil {
		return e.user
	}
	return c.user
}

// SetUser stores a value of the host's with the connection. On the loop, in callbacks.
func (c *Conn) SetUser(v any) {
	if e := c.entry(); e != nil {
		e.user = v
	} else {
		c.user = v
	}
}

// whose is the connection and the values of its Grant, as they are now.
func (e *entry) whose() (*ConnInfo, []any) {
	if e.later != nil {
		if now := e.later.now.Load(); now != nil {
			return &now.info, now.values
		}
	}
	return &e.info, e.values
}

// Info says what the connection is. Where the server has neither Authorize nor hooks for
// connections, quotas by network, or proxies, and no subprotocol was chosen, only ID and Remote are
// set, and Remote is not valid in OnClose. On the loop, in callbacks.
func (c *Conn) Info() ConnInfo {
	if info := InfoOf(c); info != nil {
		return *info
	}
	info := ConnInfo{ID: c.id}
	if addr := c.RemoteAddr(); addr != nil {
		info.Remote = addrPort(addr)
	}
	return info
}

// InfoOf is what Info returns, which must not be changed, nil where the door noted nothing. A token
// that is accepted changes nothing in it, but what is returned afterwards. Any goroutine, once the
// handler has been told of c.
func InfoOf(c *Conn) *ConnInfo {
	if e := c.entry(); e != nil {
		info, _ := e.whose()
		return info
	}
	return nil
}

// GrantOf is the principal of a connection and the values of its Grant, which must not be changed:
// both of one Grant, while a token may replace it. Any goroutine, once the handler has been told of
// c, and only where the door noted something.
func GrantOf(c *Conn) (auth.Principal, []any) {
	info, values := c.entry().whose()
	return info.Principal, values
}

// Values are those of the Grant, keys and values in turn; they must not be changed. On the loop, in
// callbacks.
func (c *Conn) Values() []any {
	if e := c.entry(); e != nil {
		_, values := e.whose()
		return values
	}
	return nil
}

// addrPort is the address of a TCP peer, and not valid for others.
func addrPort(addr net.Addr) netip.AddrPort {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	a := tcp.AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
