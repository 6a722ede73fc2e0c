// Package client is the doorway for callers: short names for what package agloop defines.
//
//	c, err := client.Dial(ctx, "ws://localhost:8080/ws", client.Config{})
//	for ev, err := range c.Run(ctx, input) { … }
package client

import (
	"context"

	"github.com/agloop/agloop"
)

type (
	Client     = agloop.Client
	Config     = agloop.ClientConfig
	Stats      = agloop.ClientStats
	Limits     = agloop.Limits
	Handler    = agloop.Handler
	NopHandler = agloop.NopHandler
	Conn       = agloop.Conn
	CloseError = agloop.CloseError
	DialError  = agloop.DialError
)

// Dial connects to a server; see agloop.Dial.
func Dial(ctx context.Context, rawURL string, cfg Config) (*Client, error) {
	return agloop.Dial(ctx, rawURL, cfg)
}
