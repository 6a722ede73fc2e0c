// Package client has short names for what a caller needs to run an agent on a server. Package
// agloop defines them. Hosts may rely on its API.
//
//	c, err := client.Dial(ctx, "ws://localhost:8080/ws", client.Config{})
//	for ev, err := range c.Run(ctx, input) { … }
package client

import (
	"context"
	"net/url"

	"github.com/agloop/agloop"
)

// The client and its configuration.
type (
	Client      = agloop.Client
	Config      = agloop.ClientConfig
	Stats       = agloop.ClientStats
	Limits      = agloop.Limits
	Compression = agloop.Compression
)

// What outlives a connection, on agloop.v1.
type (
	Resume      = agloop.Resume
	Cursor      = agloop.Cursor
	CursorStore = agloop.CursorStore
	ConnState   = agloop.ConnState
	ConnPhase   = agloop.ConnPhase
)

const (
	ConnConnecting   = agloop.ConnConnecting
	ConnOpen         = agloop.ConnOpen
	ConnReconnecting = agloop.ConnReconnecting
	ConnGoing        = agloop.ConnGoing
	ConnClosed       = agloop.ConnClosed
)

// Notes of what was left out, translated or unusual, in an event.
type (
	Note     = agloop.Note
	NoteKind = agloop.NoteKind
)

const (
	NoteDropped    = agloop.NoteDropped
	NoteStripped   = agloop.NoteStripped
	NoteTranslated = agloop.NoteTranslated
	NoteWarned     = agloop.NoteWarned
)

// A handler of messages as bytes, and its connection.
type (
	Handler    = agloop.Handler
	NopHandler = agloop.NopHandler
	Conn       = agloop.Conn
	ConnID     = agloop.ConnID
	Opcode     = agloop.Opcode
	SendResult = agloop.SendResult
	CloseCode  = agloop.CloseCode
)

const (
	Text   = agloop.Text
	Binary = agloop.Binary

	Sent         = agloop.Sent
	Backpressure = agloop.Backpressure
	Dropped      = agloop.Dropped

	CloseNormal         = agloop.CloseNormal
	CloseGoingAway      = agloop.CloseGoingAway
	CloseProtocolError  = agloop.CloseProtocolError
	CloseUnsupported    = agloop.CloseUnsupported
	CloseNoStatus       = agloop.CloseNoStatus
	CloseAbnormal       = agloop.CloseAbnormal
	CloseInvalidPayload = agloop.CloseInvalidPayload
	ClosePolicy         = agloop.ClosePolicy
	CloseTooBig         = agloop.CloseTooBig
	CloseInternal       = agloop.CloseInternal
	CloseRestart        = agloop.CloseRestart
	CloseTryLater       = agloop.CloseTryLater
	CloseSlowReader     = agloop.CloseSlowReader
	CloseAuthTimeout    = agloop.CloseAuthTimeout
	CloseExpired        = agloop.CloseExpired
)

// The errors of Dial, Client.Run and a connection.
type (
	ConfigError   = agloop.ConfigError
	DialError     = agloop.DialError
	CloseError    = agloop.CloseError
	ProtocolError = agloop.ProtocolError
	FieldError    = agloop.FieldError
	OrderError    = agloop.OrderError
	GoneError     = agloop.GoneError
	RejectedError = agloop.RejectedError
)

var (
	ErrEventTooBig      = agloop.ErrEventTooBig
	ErrEventDropped     = agloop.ErrEventDropped
	ErrEventsOneWay     = agloop.ErrEventsOneWay
	ErrTransportStarted = agloop.ErrTransportStarted
	ErrTransportClosed  = agloop.ErrTransportClosed
	ErrRunActive        = agloop.ErrRunActive
	ErrTruncated        = agloop.ErrTruncated
	ErrSlowConsumer     = agloop.ErrSlowConsumer
	ErrGone             = agloop.ErrGone
	ErrConflict         = agloop.ErrConflict
	ErrStartUnknown     = agloop.ErrStartUnknown
	ErrInputTooBig      = agloop.ErrInputTooBig
	ErrNoResume         = agloop.ErrNoResume
	ErrClientClosed     = agloop.ErrClientClosed
	ErrEngineClosed     = agloop.ErrEngineClosed
)

// Connections to several servers.
type (
	Transport       = agloop.Transport
	TransportConfig = agloop.TransportConfig
	TransportStats  = agloop.TransportStats
	DialFailures    = agloop.DialFailures
)

// NewTransport returns a transport that is still to be started; see agloop.NewTransport.
func NewTransport(cfg TransportConfig) (*Transport, error) { return agloop.NewTransport(cfg) }

// DefaultTransportConfig returns the defaults of a transport; see agloop.DefaultTransportConfig.
func DefaultTransportConfig() TransportConfig { return agloop.DefaultTransportConfig() }

// Dial connects to a server; see agloop.Dial.
func Dial(ctx context.Context, rawURL string, cfg Config) (*Client, error) {
	return agloop.Dial(ctx, rawURL, cfg)
}

// ParseCursor reads the text of a Cursor; see agloop.ParseCursor.
func ParseCursor(s string) (Cursor, error) { return agloop.ParseCursor(s) }

// ProxyFromEnvironment names the proxy of the environment; see agloop.ProxyFromEnvironment.
func ProxyFromEnvironment(u *url.URL) (*url.URL, error) { return agloop.ProxyFromEnvironment(u) }
