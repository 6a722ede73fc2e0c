// Package auth names who asks to come in, and who was let in: the same nouns for every door.
// Hosts may rely on its API.
package auth

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// Principal is the user or the program behind a connection, as the host's Authorize found out. The
// zero Principal is anonymous.
type Principal struct {
	// Key names the principal: the unit of the quotas, and of what a host asks by principal. "" is
	// anonymous: no quota of a principal counts it, and nobody finds it by its key.
	Key string
	// ExpiresAt is when the principal's connections are closed. Zero is never. The time left is
	// taken when the connection is let in, so a clock that is set later changes nothing.
	ExpiresAt time.Time
	// Value is the host's. It becomes Conn.User.
	Value any
}

// Request is the head of a request that asks for a WebSocket, or over HTTP for a run. It is a copy and may be kept, but not
// changed once Authorize has returned: the server may have to ask again. The request that comes with a
// token has the same head, but for the field Authorization.
type Request struct {
	Method   string
	Path     string // without its escapes
	RawQuery string // without the question mark
	Host     string // the Host field
	// Scheme is "http" or "https", as the client used it: of a proxy that is trusted, what it says.
	Scheme string
	// Header has canonical names; Get finds a name in any case of letters.
	Header http.Header
	// Remote is the client's address: the peer's, or what a proxy that is trusted says, with port
	// 0 if that says none. It is not valid for a peer on a unix socket.
	Remote netip.AddrPort
	// TLS is how the connection is secured, with the certificates of a client that has shown some; nil
	// for one that speaks no TLS to this server, also where a trusted proxy says https.
	TLS *tls.ConnectionState
	// Protocols are the subprotocols offered, in the client's order of preference.
	Protocols []string
}

// Grant lets a request in.
type Grant struct {
	Principal Principal
	// Protocol is the subprotocol of the connection. "" is the first of the server's that the
	// client offers, or none. One that the client has not offered refuses the request with 500.
	Protocol string
	// Header is added to the response that accepts. Fields of the handshake may not stand in it.
	Header http.Header
	// Values are keys and values in turn, for Run.Value.
	Values []any
}

// ErrAuthLater, returned by Authorize, lets a request in whose client is to say later who it is:
// browsers cannot set fields of the request for a WebSocket. It may be wrapped; a Grant beside it is
// ignored. A client that cannot do so is refused with 401. See agloop.ServerConfig.Authorize.
var ErrAuthLater = errors.New("agloop: authorization comes later")

// RefusedError refuses a request, or an input. What it says is sent to the client. An error that
// wraps it, or that it is joined with, is logged and never sent.
type RefusedError struct {
	// Status is the HTTP status of the response; one outside 400–599 is sent as 403. Inputs have
	// none.
	Status int
	// Header is added to the response.
	Header http.Header
	// Reason is the text that is sent, for people. "" is that of the status.
	Reason string
}

func (e *RefusedError) Error() string {
	s := "agloop: refused"
	if e.Status != 0 {
		s += ": " + strconv.Itoa(e.Status)
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}
