// Package agloop carries AG-UI, the protocol of events between agents and user
// interfaces, over WebSocket, for hosts that hold very many connections. The
// connections live on an epoll or kqueue reactor, not on a goroutine each.
//
// A host serves an agent, and a client runs one:
//
//	srv := server.New(server.Config{Agent: agent})
//	err := srv.Serve(":8080")
//
//	c, err := client.Dial(ctx, "ws://localhost:8080/ws", client.Config{})
//	for ev, err := range c.Run(ctx, input) { … }
//
// Packages server and client are doorways with short names; what they name is
// defined here.
//
// # The way of a message
//
//	in   kernel → loop's read buffer → frame header → unmask in place → message
//	     → input decoded off the loop → a goroutine for the run
//	out  run.Emit → order checked → encoded once → connection's outbox → one write, by the
//	     emitter for a lone event, by the loop's writer for a burst → kernel
//
// # Who may call what
//
// Methods of Server, Client, Run and Conn may be called from any goroutine
// unless they say otherwise. Callbacks of a Handler run on a loop and must not
// block; an Agent runs in a goroutine of its own and may. Bytes lent to a
// callback are valid until it returns.
//
// # Where to start reading
//
// server.go and session.go here, then run/run.go for a run's life, loop/doc.go for
// the reactor, codec/frame, codec/handshake and codec/event for the wire,
// agui/doc.go for the nouns.
package agloop
