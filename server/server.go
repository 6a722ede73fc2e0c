// Package server is the doorway for hosts: short names for what package agloop defines.
//
//	srv := server.New(server.Config{Agent: agent})
//	err := srv.Serve(":8080")
package server

import "github.com/agloop/agloop"

type (
	Server         = agloop.Server
	Config         = agloop.ServerConfig
	Stats          = agloop.Stats
	Limits         = agloop.Limits
	Rates          = agloop.Rates
	Agent          = agloop.Agent
	AgentFunc      = agloop.AgentFunc
	Run            = agloop.Run
	TextMessage    = agloop.TextMessage
	ToolCall       = agloop.ToolCall
	Handler        = agloop.Handler
	NopHandler     = agloop.NopHandler
	Conn           = agloop.Conn
	Opcode         = agloop.Opcode
	SendResult     = agloop.SendResult
	CloseCode      = agloop.CloseCode
	CloseError     = agloop.CloseError
	UpgradeRequest = agloop.UpgradeRequest
	UpgradeError   = agloop.UpgradeError
)

const (
	Text         = agloop.Text
	Binary       = agloop.Binary
	Sent         = agloop.Sent
	Backpressure = agloop.Backpressure
	Dropped      = agloop.Dropped
	AnyPath      = agloop.AnyPath
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = agloop.ErrServerClosed

// New returns a server; see agloop.NewServer.
func New(cfg Config) *Server { return agloop.NewServer(cfg) }
