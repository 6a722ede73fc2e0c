// Package server has short names for what a host needs to serve an agent. Package agloop defines
// them. Hosts may rely on its API.
//
//	srv := server.New(server.Config{Agent: agent})
//	err := srv.Serve(":8080")
package server

import "github.com/agloop/agloop"

// The server and its configuration.
type (
	Server      = agloop.Server
	Config      = agloop.ServerConfig
	RunsConfig  = agloop.RunsConfig
	Stats       = agloop.Stats
	Limits      = agloop.Limits
	Compression = agloop.Compression
	Rates       = agloop.Rates
	Quotas      = agloop.Quotas
	Refusals    = agloop.Refusals
)

// Who asks to come in, who was let in, and what a host is told of them.
type (
	Request   = agloop.Request
	Grant     = agloop.Grant
	Principal = agloop.Principal
	ConnInfo  = agloop.ConnInfo
	Hooks     = agloop.Hooks
	Peer      = agloop.Peer
)

// Notes of what was left out, translated or unusual, in an input.
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

// AnyPath as Config.Path upgrades requests for every path.
const AnyPath = agloop.AnyPath

// An agent and what it writes to.
type (
	Agent       = agloop.Agent
	AgentFunc   = agloop.AgentFunc
	Run         = agloop.Run
	RunKey      = agloop.RunKey
	RunInfo     = agloop.RunInfo
	RunEnd      = agloop.RunEnd
	TextMessage = agloop.TextMessage
	ToolCall    = agloop.ToolCall
	Reasoning   = agloop.Reasoning
	Step        = agloop.Step
	Activity    = agloop.Activity
	Subagent    = agloop.Subagent
)

// What stands around an agent.
type (
	Middleware  = agloop.Middleware
	EventFilter = agloop.EventFilter
	Tracer      = agloop.Tracer
	TraceSum    = agloop.TraceSum
)

// Runs that have a log: what becomes of them, who may what, and where their logs are.
type (
	RunHandle  = agloop.RunHandle
	Cursor     = agloop.Cursor
	Store      = agloop.Store
	Disconnect = agloop.Disconnect
	Busy       = agloop.Busy
	Action     = agloop.Action
)

// Topics: what holds for one, and what becomes of its messages for who does not keep up.
type (
	Topic        = agloop.Topic
	TopicConfig  = agloop.TopicConfig
	TopicEntry   = agloop.TopicEntry
	TopicFigures = agloop.TopicFigures
	Slow         = agloop.Slow
)

const (
	SlowLimits   = agloop.SlowLimits
	SlowCut      = agloop.SlowCut
	SlowLatest   = agloop.SlowLatest
	SlowCoalesce = agloop.SlowCoalesce
)

const (
	DisconnectDefault  = agloop.DisconnectDefault
	DisconnectCancel   = agloop.DisconnectCancel
	DisconnectContinue = agloop.DisconnectContinue

	BusyEnqueue        = agloop.BusyEnqueue
	BusyReject         = agloop.BusyReject
	BusyCancelPrevious = agloop.BusyCancelPrevious

	ActionStart  = agloop.ActionStart
	ActionJoin   = agloop.ActionJoin
	ActionFollow = agloop.ActionFollow
	ActionCancel = agloop.ActionCancel
	ActionSteer  = agloop.ActionSteer
)

// A handler of messages as bytes, and its connections.
type (
	Handler    = agloop.Handler
	NopHandler = agloop.NopHandler
	Inbox      = agloop.Inbox
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

// The performance system.
type (
	PerformanceConfig  = agloop.PerformanceConfig
	PerformanceManager = agloop.PerformanceManager
	PerformanceMetrics = agloop.PerformanceMetrics
	Profile            = agloop.Profile
	Tuning             = agloop.Tuning
	MemoryTier         = agloop.MemoryTier
	SerializerType     = agloop.SerializerType
)

const (
	ProfileBalanced   = agloop.ProfileBalanced
	ProfileLatency    = agloop.ProfileLatency
	ProfileThroughput = agloop.ProfileThroughput
	ProfileMemory     = agloop.ProfileMemory

	MemoryNormal   = agloop.MemoryNormal
	MemoryModerate = agloop.MemoryModerate
	MemoryElevated = agloop.MemoryElevated
	MemoryHigh     = agloop.MemoryHigh
	MemoryCritical = agloop.MemoryCritical

	OptimizedJSON = agloop.OptimizedJSON
	JSON          = agloop.JSON
)

// The errors of a server, an agent and a connection.
type (
	ConfigError   = agloop.ConfigError
	CloseError    = agloop.CloseError
	ProtocolError = agloop.ProtocolError
	RefusedError  = agloop.RefusedError
	FieldError    = agloop.FieldError
	OrderError    = agloop.OrderError
	PublicError   = agloop.PublicError
	PanicError    = agloop.PanicError
	ToolError     = agloop.ToolError
)

var (
	ErrServerClosed          = agloop.ErrServerClosed
	ErrAuthLater             = agloop.ErrAuthLater
	ErrEngineClosed          = agloop.ErrEngineClosed
	ErrEventTooBig           = agloop.ErrEventTooBig
	ErrRunEnded              = agloop.ErrRunEnded
	ErrStateNested           = agloop.ErrStateNested
	ErrGone                  = agloop.ErrGone
	ErrConflict              = agloop.ErrConflict
	ErrThreadBusy            = agloop.ErrThreadBusy
	ErrTooManyRuns           = agloop.ErrTooManyRuns
	ErrNoConn                = agloop.ErrNoConn
	ErrTooManyTopics         = agloop.ErrTooManyTopics
	ErrCancelled             = agloop.ErrCancelled
	ErrAbandoned             = agloop.ErrAbandoned
	ErrShutdown              = agloop.ErrShutdown
	ErrSerializerUnavailable = agloop.ErrSerializerUnavailable
)

// DefaultHTTP is what a Config without HTTP answers with, for handlers that add paths to it.
var DefaultHTTP = agloop.DefaultHTTP

// PublicRates are Rates for a server on the open internet; see agloop.PublicRates.
func PublicRates() Rates { return agloop.PublicRates() }

// Middleware that there is, and Chain, which puts an agent within it; see agloop.
var (
	Chain       = agloop.Chain
	Timeout     = agloop.Timeout
	Recover     = agloop.Recover
	AllowTools  = agloop.AllowTools
	FilterInput = agloop.FilterInput
	Trace       = agloop.Trace
)

// New returns a server; see agloop.NewServer.
func New(cfg Config) *Server { return agloop.NewServer(cfg) }

// StrictInput is a filter for RunsConfig.FilterInput; see agloop.StrictInput.
var StrictInput = agloop.StrictInput

// DefaultPerformanceConfig returns the defaults of Config.Performance; see
// agloop.DefaultPerformanceConfig.
func DefaultPerformanceConfig() PerformanceConfig { return agloop.DefaultPerformanceConfig() }

// NewInbox returns the inbox of a connection, see Inbox. Reading pauses when limit bytes wait; 0 or less is
// 64 KiB. work is called in a goroutine of the inbox's, for one message at a time; payload is valid until it
// returns.
func NewInbox(c *Conn, limit int, work func(op Opcode, payload []byte)) *Inbox {
	return agloop.NewInbox(c, limit, work)
}
