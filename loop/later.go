package loop

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/codec/handshake"
)

// Where Authorize answers auth.ErrAuthLater a connection is let in of which nobody knows yet whose it
// is: it awaits a token, which comes in a message, since browsers cannot set fields of a handshake.
// Until Authorize has accepted one it may not have more than a little of anything, and not for long.
// The handler reads the token, and hands it to Present. Later tokens refresh what holds.

const (
	// AuthTime is how long a connection may await its first token to be accepted, from the end of
	// its handshake.
	AuthTime = 10 * time.Second
	// MaxToken is the longest token, and the largest message before the first is accepted, in bytes.
	MaxToken = 16 << 10
)

// Why a token is refused that Authorize is not asked about, or that it accepts.
var (
	errNeedsToken = &handshake.UpgradeError{Status: 401, Reason: "authorization required", Header: http.Header{"Www-Authenticate": {"Bearer"}}}
	errToken      = &handshake.UpgradeError{Status: 401, Reason: "malformed token"}
	errNobody     = fmt.Errorf("%w: the Grant for a token has no Principal.Key", errServerFailed)
	errOther      = &handshake.UpgradeError{Status: 403, Reason: "the token is another principal's"}
)

// errEarlyMessage closes a connection whose first message is no token.
var errEarlyMessage = &frame.ProtocolError{Code: frame.CloseAuthTimeout, Reason: "message is too big before authorization"}

// later is what a connection has whose client may send tokens.
type later struct {
	// Immutable.
	request *auth.Request // of its handshake: what Authorize is asked again, with a token

	// This loop.
	due  uint32 // tick by which the first token must have been accepted; 0: one was, or none is awaited
	held int    // bytes of request in the ledger

	// Any goroutine.
	asked atomic.Pointer[judgement] // the token that Authorize is asked about
	now   atomic.Pointer[identity]  // since a token was accepted: it replaces what the entry has
}

// identity is whose a connection is. It is replaced, never changed.
type identity struct {
	info   ConnInfo
	values []any // of the Grant
}

// mayComeLater notes that the client of a request that is let in may send tokens, if the subprotocol
// has them.
func (j *judgement) mayComeLater() {
	if e := j.conn.entry(); j.conn.endpoint.door.tokens(e.info.Protocol) {
		e.later = &later{request: j.request}
	}
}

// speaksLater reports whether the connection has a subprotocol with tokens.
func (c *Conn) speaksLater() bool {
	e := c.entry()
	return e != nil && c.endpoint.door != nil && c.endpoint.door.tokens(e.info.Protocol)
}

// tokens reports whether clients of a subprotocol may send tokens.
func (d *Door) tokens(protocol string) bool { return slices.Contains(d.later, protocol) }

// welcomeLater makes the response that lets a request in whose client is to send a token.
func (j *judgement) welcomeLater() ([]byte, error) {
	c := j.conn
	protocol := handshake.SelectProtocol(c.endpoint.door.later, j.request.Protocols)
	if protocol == "" {
		c.endpoint.door.refused.authorize.Add(1)
		return nil, errNeedsToken
	}
	response, err := c.welcome(nil, j.key, protocol, "", auth.Grant{}, j.also) // nothing is inflated for nobody
	if err != nil {
		return nil, err
	}
	j.mayComeLater()
	c.marks.Or(markAwaitsToken)
	return response, nil
}

// beginLater begins the time of a connection that awaits a token, and counts what it keeps for tokens
// to come.
func (c *Conn) beginLater() {
	c.loop.owner.check()
	e := c.entry()
	if e == nil || e.later == nil {
		return
	}
	if c.marked(markAwaitsToken) {
		e.later.due = after(c.heard, ticks(AuthTime))
	}
	e.later.held = sizeOf(e.later.request)
	c.Hold(e.later.held)
}

// sizeOf is about how much memory a request takes, in bytes.
func sizeOf(r *auth.Request) int {
	n := len(r.Method) + len(r.Path) + len(r.RawQuery) + len(r.Host)
	for name, values := range r.Header {
		n += len(name)
		for _, v := range values {
			n += len(v)
		}
	}
	for _, p := range r.Protocols {
		n += len(p)
	}
	return n
}

// endLater gives back what a connection that is gone had for tokens.
func (c *Conn) endLater() {
	c.loop.owner.check()
	c.endAsking()
	if e := c.entry(); e != nil && e.later != nil {
		c.Hold(-e.later.held)
		e.later.held = 0
	}
}

// AwaitsToken reports whether nobody knows yet whose connection c is: Authorize has answered
// auth.ErrAuthLater, and no token was accepted so far. It stays so when the connection ends. Any
// goroutine.
func AwaitsToken(c *Conn) bool { return c.marked(markAwaitsToken) }

// Present asks Authorize about a token, as if the request of c's handshake had come with it in its
// field Authorization, as a Bearer token. Of the Grant only Principal and Values count: they replace
// what holds. The principal must have a key, and a principal that has one keeps it. told is called on
// the loop, with nil when the token is accepted, else with why not, such as that it is malformed, of
// which Authorize is not asked. When the connection begins to close before, it is not called. IsLate
// tells an error of which the time is up, or the server, from a refusal.
//
// Present returns false where there is nobody to ask, or where the connection belongs to nobody and so
// has nothing to refresh, or while it asks already. Any goroutine, once the handler has been told of c.
func Present(c *Conn, token string, within time.Duration, told func(error)) bool {
	e := c.entry()
	if e == nil || e.later == nil || !AwaitsToken(c) && InfoOf(c).Principal.Key == "" {
		return false
	}
	j := &judgement{conn: c, request: withToken(e.later.request, token), presented: told, held: len(token)}
	j.ctx, j.cancel = context.WithTimeout(c.endpoint.door.base, within)
	if !e.later.asked.CompareAndSwap(nil, j) {
		j.cancel()
		return false
	}
	c.Hold(j.held)
	c.marks.Or(markPresents)
	// When the time is up the loop is to look, also while Authorize heeds no context.
	context.AfterFunc(j.ctx, func() {
		if e.later.asked.Load() == j {
			c.perform(actLoop, 0)
		}
	})
	switch {
	case c.marked(markEnding | markGone): // who ended it may not have seen the judgement
		c.endAsking()
	case !validToken(token):
		j.tell(&verdict{err: errToken})
	default:
		c.endpoint.door.ask(j)
	}
	return true
}

// withToken is a copy of r that bears a token.
func withToken(r *auth.Request, token string) *auth.Request {
	again := *r
	again.Header = r.Header.Clone()
	if again.Header == nil {
		again.Header = make(http.Header)
	}
	again.Header.Set("Authorization", "Bearer "+token)
	again.Protocols = slices.Clone(r.Protocols)
	return &again
}

// validToken reports whether a field could hold the token.
func validToken(token string) bool {
	for i := range len(token) {
		if b := token[i]; b < ' ' || b == 0x7F {
			return false
		}
	}
	return token != "" && len(token) <= MaxToken
}

// endAsking forgets the token that Authorize is asked about, and returns the judgement. Any goroutine.
func (c *Conn) endAsking() *judgement {
	e := c.entry()
	if e == nil || e.later == nil {
		return nil
	}
	j := e.later.asked.Swap(nil)
	if j != nil {
		c.marks.And(^markPresents)
		j.cancel()
		c.Hold(-j.held)
	}
	return j
}

// checkToken acts on what Authorize said of a token, if that is there, or if the time is up.
func (c *Conn) checkToken() {
	c.loop.owner.check()
	j := c.entry().later.asked.Load()
	if j == nil || j.verdict.Load() == nil && j.ctx.Err() == nil {
		return
	}
	late := j.ctx.Err() != nil // before it is cancelled here
	c.endAsking()
	if c.state != open || c.marked(markEnding) {
		return // we have said goodbye already
	}
	c.turn(func() { j.presented(j.settleToken(late)) })
}

// settleToken acts on the verdict about a token. late says that the time for it is up. It returns why
// the token is refused.
func (j *judgement) settleToken(late bool) error {
	c, v := j.conn, j.verdict.Load()
	d := c.endpoint.door
	if v == nil || v.err != nil && late {
		return j.late()
	}
	err := v.err
	if err != nil {
		d.refused.authorize.Add(1)
	} else {
		err = c.accept(v.grant)
	}
	if err != nil {
		d.logRefusal(err, InfoOf(c))
	}
	return err
}

// accept has hold what was granted for a token.
func (c *Conn) accept(g auth.Grant) error {
	c.loop.owner.check()
	d, e := c.endpoint.door, c.entry()
	first := AwaitsToken(c)
	switch {
	case len(g.Values)%2 != 0:
		return errOddValues
	case g.Principal.Key == "":
		return errNobody
	case !first && g.Principal.Key != e.principal:
		d.refused.authorize.Add(1)
		return errOther
	case first:
		if err := e.take(d, g.Principal); err != nil {
			return err
		}
	default:
		expires, err := d.expiry(g.Principal)
		if err != nil {
			return err
		}
		e.expires = expires
	}
	who := &identity{info: *InfoOf(c), values: slices.Clone(g.Values)}
	who.info.Principal = g.Principal
	e.later.now.Store(who)
	e.later.due = 0
	c.marks.And(^markAwaitsToken) // behind who it is: whoever sees it awaits nothing sees that
	c.loop.setDeadline(c, c.nextDeadline())
	return nil
}

// IsLate reports whether Authorize has not answered in time, or the server shuts down, as the reason
// why a token was not accepted.
func IsLate(err error) bool { return err == errLate || err == errShutdown }

// PublicReason is what may be told of why a token was refused, for people.
func PublicReason(err error) string { return refusalOf(err).Reason }
