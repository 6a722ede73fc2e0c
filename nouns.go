package agloop

import (
	"github.com/agloop/agloop/codec"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/metrics"
	"github.com/agloop/agloop/run"
)

// What lower packages define and a host writes.
type (
	Agent       = run.Agent
	AgentFunc   = run.AgentFunc
	Run         = run.Run
	TextMessage = run.TextMessage
	ToolCall    = run.ToolCall

	Conn       = loop.Conn
	ConnID     = loop.ID
	Handler    = loop.Handler
	NopHandler = loop.NopHandler
	SendResult = loop.SendResult
	Limits     = loop.Limits
	Rates      = loop.Rates
	Refusals   = metrics.Refusals

	Opcode         = codec.Opcode
	CloseCode      = codec.CloseCode
	UpgradeRequest = codec.UpgradeRequest
)

const (
	Text   = codec.Text
	Binary = codec.Binary

	Sent         = loop.Sent
	Backpressure = loop.Backpressure
	Dropped      = loop.Dropped

	CloseNormal    = codec.CloseNormal
	CloseGoingAway = codec.CloseGoingAway
	ClosePolicy    = codec.ClosePolicy
	CloseTryLater  = codec.CloseTryLater

	// AnyPath as ServerConfig.Path upgrades requests for every path.
	AnyPath = loop.AnyPath
)
