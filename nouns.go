package agloop

import (
	"context"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/metrics"
	"github.com/agloop/agloop/run"
	"github.com/agloop/agloop/topic"
)

// What lower packages define and a host writes.
type (
	Agent       = run.Agent
	AgentFunc   = run.AgentFunc
	Run         = run.Run
	RunKey      = run.RunKey
	RunInfo     = run.RunInfo
	RunEnd      = run.RunEnd
	Cursor      = run.Cursor
	Store       = run.Store
	TextMessage = run.TextMessage
	ToolCall    = run.ToolCall
	Reasoning   = run.Reasoning
	Step        = run.Step
	Activity    = run.Activity
	Subagent    = run.Subagent

	Middleware  = run.Middleware
	EventFilter = run.EventFilter
	Tracer      = run.Tracer
	TraceSum    = run.TraceSum

	Conn        = loop.Conn
	ConnID      = loop.ID
	Handler     = loop.Handler
	NopHandler  = loop.NopHandler
	Inbox       = loop.Inbox
	SendResult  = loop.SendResult
	Limits      = loop.Limits
	Compression = loop.Compression
	Rates       = loop.Rates
	Quotas      = loop.Quotas
	Refusals    = metrics.Refusals

	TopicConfig  = topic.Config
	TopicEntry   = topic.Entry
	TopicFigures = metrics.Topics
	Slow         = topic.Slow

	Note     = event.Note
	NoteKind = event.NoteKind

	Opcode    = frame.Opcode
	CloseCode = frame.CloseCode

	Principal = auth.Principal
	Request   = auth.Request
	Grant     = auth.Grant
	ConnInfo  = loop.ConnInfo
)

const (
	Text   = frame.Text
	Binary = frame.Binary

	Sent         = loop.Sent
	Backpressure = loop.Backpressure
	Dropped      = loop.Dropped

	SlowLimits   = topic.SlowLimits
	SlowCut      = topic.SlowCut
	SlowLatest   = topic.SlowLatest
	SlowCoalesce = topic.SlowCoalesce

	NoteDropped    = event.NoteDropped
	NoteStripped   = event.NoteStripped
	NoteTranslated = event.NoteTranslated
	NoteWarned     = event.NoteWarned

	CloseNormal         = frame.CloseNormal
	CloseGoingAway      = frame.CloseGoingAway
	CloseProtocolError  = frame.CloseProtocolError
	CloseUnsupported    = frame.CloseUnsupported
	CloseNoStatus       = frame.CloseNoStatus
	CloseAbnormal       = frame.CloseAbnormal
	CloseInvalidPayload = frame.CloseInvalidPayload
	ClosePolicy         = frame.ClosePolicy
	CloseTooBig         = frame.CloseTooBig
	CloseInternal       = frame.CloseInternal
	CloseRestart        = frame.CloseRestart
	CloseTryLater       = frame.CloseTryLater
	CloseSlowReader     = frame.CloseSlowReader
	CloseAuthTimeout    = frame.CloseAuthTimeout
	CloseExpired        = frame.CloseExpired

	// AnyPath as ServerConfig.Path upgrades requests for every path.
	AnyPath = loop.AnyPath
)

// ParseCursor reads the text of a Cursor; see run.ParseCursor.
func ParseCursor(s string) (Cursor, error) { return run.ParseCursor(s) }

// PublicRates are Rates for a server on the open internet; see loop.PublicRates.
func PublicRates() Rates { return loop.PublicRates() }

// Chain puts an agent within middleware; see run.Chain.
func Chain(agent Agent, around ...Middleware) Agent { return run.Chain(agent, around...) }

// Timeout ends the run of an agent that takes too long; see run.Timeout.
func Timeout(after time.Duration) Middleware { return run.Timeout(after) }

// Recover decides what a panic of an agent comes to; see run.Recover.
func Recover(f func(context.Context, *PanicError) error) Middleware { return run.Recover(f) }

// AllowTools lets an agent have some tools only; see run.AllowTools.
func AllowTools(allow func(name string) bool) Middleware { return run.AllowTools(allow) }

// FilterInput changes or refuses what an agent sees of its input; see run.FilterInput.
func FilterInput(f func(context.Context, Principal, *agui.RunAgentInput) error) Middleware {
	return run.FilterInput(f)
}

// Trace tells a Tracer of the runs of an agent; see run.Trace.
func Trace(t Tracer) Middleware { return run.Trace(t) }

// NewInbox returns the inbox of a connection, see Inbox. Reading pauses when limit bytes wait; 0 or less is
// 64 KiB. work is called in a goroutine of the inbox's, for one message at a time; payload is valid until it
// returns.
func NewInbox(c *Conn, limit int, work func(op Opcode, payload []byte)) *Inbox {
	return loop.NewInbox(c, limit, work)
}
