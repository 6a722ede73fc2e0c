package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/metrics"
)

// What flawless requests are answered that are not let in.
var (
	errFull         = &handshake.UpgradeError{Status: 503, Reason: "too many connections", RetryAfter: time.Second}
	errPressure     = &handshake.UpgradeError{Status: 503, Reason: "out of memory for more connections", RetryAfter: time.Second}
	errShutdown     = &handshake.UpgradeError{Status: 503, Reason: "server shuts down", RetryAfter: time.Second}
	errLate         = &handshake.UpgradeError{Status: 503, Reason: "authorization took too long", RetryAfter: time.Second}
	errNetwork      = &handshake.UpgradeError{Status: 429, Reason: "too many connections from your network", RetryAfter: time.Second}
	errPrincipal    = &handshake.UpgradeError{Status: 429, Reason: "too many connections of yours", RetryAfter: time.Second}
	errExpired      = &handshake.UpgradeError{Status: 401, Reason: "authorization expired", Header: http.Header{"Www-Authenticate": {"Bearer"}}}
	errServerFailed = &handshake.UpgradeError{Status: 500, Reason: "the server failed"}
	errWantsTLS     = &handshake.UpgradeError{Status: 400, Reason: "this port speaks TLS: use https or wss"}
	errSpeaksTLS    = &handshake.UpgradeError{Status: 400, Reason: "this port speaks no TLS: use http or ws"}
	errNoHijack     = &handshake.UpgradeError{Status: 500, Reason: "the server cannot take the connection over"}
	errEarly        = &handshake.UpgradeError{Status: 400, Reason: "too much sent before the handshake was answered"}
)

var errOddValues = fmt.Errorf("%w: Grant.Values has a key without a value", errServerFailed)

// behindProxy reports whether who connects speaks for others, so that only the request says for
// whom.
func (d *Door) behindProxy(peer netip.AddrPort) bool {
	return d.proxyProtocol || len(d.proxies) > 0 && d.proxies.Trusts(peer.Addr())
}

// admit counts a flawless request as let in, unless somebody who is not asked forbids it. It tells
// whether the client used https, which secure says of its connection. limited says that the network's
// rate of connections was not asked yet. What was taken leave gives back.
func (c *Conn) admit(req *handshake.Request, peer netip.AddrPort, secure, limited bool) (https bool, err error) {
	d := c.endpoint.door
	client, https := d.proxies.Client(req, peer, secure)
	if err := d.hosts.Check(req.Host, c.marked(markLoopback)); err != nil {
		return false, err
	}
	if err := d.origins.Check(req.Origin, req.Host, https); err != nil {
		return false, err
	}
	switch {
	case d.stopped():
		return false, errShutdown
	case d.shedding.Load():
		d.refused.memory.Add(1)
		return false, errPressure
	case limited && !d.networks.allow(client.Addr(), time.Now()):
		d.refused.address.Add(1)
		return false, errNetwork
	case d.guesses.spent(client.Addr(), time.Now()):
		d.refused.guesses.Add(1)
		return false, tooManyGuesses(d.guesses.perSecond)
	case !d.slots.admit():
		d.refused.slots.Add(1)
		return false, errFull
	}
	c.marks.Or(markIn)
	e := c.entry()
	if e == nil {
		return https, nil
	}
	e.info = ConnInfo{ID: c.id, Remote: client, Path: pathOf(req), Opened: time.Now()}
	network := NetworkOf(client.Addr())
	if !d.perNetwork.Take(network) {
		d.refused.quota.Add(1)
		return false, errNetwork
	}
	e.network = network
	return https, nil
}

// grantAll is the grant of a door that asks nobody.
var grantAll auth.Grant

// welcome notes what was granted and appends the response that lets the request in, with that
// subprotocol and extensions, to dst. also are fields that middleware has set for the response.
func (c *Conn) welcome(dst, key []byte, protocol, extensions string, g auth.Grant, also http.Header) ([]byte, error) {
	if err := c.noteGrant(protocol, g); err != nil {
		return nil, err
	}
	header := g.Header
	if len(also) > 0 {
		header = also.Clone()
		maps.Copy(header, g.Header)
	}
	return handshake.AppendSwitchingProtocols(dst, key, protocol, extensions, header), nil
}

// noteGrant notes what was granted to a connection that has an entry, and that it speaks a
// subprotocol.
func (c *Conn) noteGrant(protocol string, g auth.Grant) error {
	e := c.entry()
	if e == nil {
		return nil
	}
	if err := handshake.CheckHeader(g.Header); err != nil {
		return fmt.Errorf("%w: Grant.Header: %w", errServerFailed, err)
	}
	if len(g.Values)%2 != 0 {
		return errOddValues
	}
	if err := e.take(c.endpoint.door, g.Principal); err != nil {
		return err
	}
	e.info.Principal, e.info.Protocol = g.Principal, protocol
	e.values, e.user = slices.Clone(g.Values), g.Principal.Value
	return nil
}

// take counts the connection for its principal, and notes when that expires.
func (e *entry) take(d *Door, p auth.Principal) error {
	expires, err := d.expiry(p)
	if err != nil {
		return err
	}
	if !d.perPrincipal.Take(p.Key) {
		d.refused.quota.Add(1)
		return errPrincipal
	}
	e.principal, e.expires = p.Key, expires
	return nil
}

// expiry is the tick at which the connections of a principal are closed; 0: never.
func (d *Door) expiry(p auth.Principal) (uint32, error) {
	const forEver = 10 * 365 * 24 * time.Hour // less than the ticks can count
	if p.ExpiresAt.IsZero() {
		return 0, nil
	}
	switch left := time.Until(p.ExpiresAt); {
	case left <= 0:
		return 0, errExpired
	case left < forEver:
		return tickOf(d.eng.now()+int64(left)) + 1, nil
	}
	return 0, nil
}

// leave gives back what the connection took when it was let in. It may be called again.
func (c *Conn) leave() {
	d := c.endpoint.door
	if c.marks.And(^markIn)&markIn != 0 {
		d.slots.leave()
	}
	if e := c.entry(); e != nil {
		d.perNetwork.Give(e.network)
		d.perPrincipal.Give(e.principal)
		e.network, e.principal = netip.Prefix{}, ""
	}
}

// countRefusal counts one refusal.
func countRefusal(to *metrics.Counters, e *handshake.UpgradeError) {
	switch e.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		to.Refused.Add(1)
	default:
		to.BadUpgrade.Add(1)
	}
}

// refusalOf is what a client is told of an error.
func refusalOf(err error) *handshake.UpgradeError {
	if ue, ok := errors.AsType[*handshake.UpgradeError](err); ok {
		return ue
	}
	ue := &handshake.UpgradeError{Status: 403, Reason: "refused"}
	if re, ok := errors.AsType[*auth.RefusedError](err); ok {
		ue.Header = re.Header
		if re.Status >= 400 && re.Status <= 599 {
			ue.Status = re.Status
		}
		if re.Reason != "" {
			ue.Reason = re.Reason
		}
	}
	return ue
}

// logRefusal logs why the host refused a request, if that says more than what the client is told.
func (d *Door) logRefusal(err error, info *ConnInfo) {
	level := slog.LevelWarn
	switch err.(type) {
	case *handshake.UpgradeError:
		return
	case *auth.RefusedError:
		level = slog.LevelDebug
	}
	d.log.LogAttrs(context.Background(), level, "agloop: a request was refused",
		slog.Any("err", err), slog.Any("remote", info.Remote), slog.String("path", info.Path))
}
