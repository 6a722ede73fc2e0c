// Package agloop carries AG-UI, the protocol of events between agents and user interfaces, over
// WebSocket, for hosts that hold very many connections. The connections live on an epoll or kqueue
// reactor, not on a goroutine each.
//
// Runs have a log, and outlive their connection, where the client speaks agloop.v1 or has a
// principal: they are resumed, joined, followed, steered and cancelled. Without either a run dies with
// its connection.
//
// A host serves an agent, and a client runs one:
//
//	srv := server.New(server.Config{Agent: agent})
//	err := srv.Serve(":8080")
//
//	c, err := client.Dial(ctx, "ws://localhost:8080/ws", client.Config{})
//	for ev, err := range c.Run(ctx, input) { … }
//
// Packages server and client are doorways with short names; what they name is defined here.
//
// # The way of a message
//
//	in    kernel → the loop's read buffer     one read for whatever has arrived
//	      → frame header → unmask in place    no copy when the frame lies there whole
//	      → OnMessage, on the loop            of an agent's server: the input is kept for a
//	                                          goroutine that lasts as long as there are runs
//	out   run.Emit → order checked            a mistake is the agent's error
//	      → encoded once, by append           about 50 ns for a token
//	      → the run's log, where it has one   its viewers have cursors; who is level is sent to at
//	                                          once, who is behind pulls when its outbox drains
//	      → the connection's outbox           one lock, any goroutine
//	      → one write, in one of four places  a single event: the goroutine that emitted it;
//	                                          a burst: the loop's writer; what a callback sent:
//	                                          the loop; what waits 5 ms for others: the timer
//	      → kernel                            what it has no room for stays in the outbox, and
//	                                          the poller writes on
//
// # Who may call what
//
// Methods of Server, Client, Transport, Run and Conn may be called from any goroutine unless they
// say otherwise. Callbacks of a Handler run on a loop and must not block. An Agent runs in a
// goroutine of its own and may, as may FilterInput and the hooks of runs, which run there too;
// Authorize and the hooks of connections have goroutines of their own. Bytes lent to a callback are
// valid until it returns.
//
// # Lock order
//
// Locks are taken from left to right. Nothing of the host's but its logger is called while one is
// held, so a log handler must not ask the server.
//
//	Server.mu → PerformanceManager.mu, activeSessions.mu    state, listeners
//	Transport.perfMu → PerformanceManager.mu                start and stop of the manager
//	PerformanceManager.changing → tune → PerformanceManager.mu
//	                                                        the config changes
//	PerformanceManager.cutMu → PerformanceManager.mu        connections are cut
//	PerformanceManager.mu → metrics → memmon, Transport.mu  what holds is applied
//	session.mu → activeSessions.mu, Conn.mu                 the inputs of one connection
//	Run.mu → Conn.mu                                        the events of one run without a log
//	Run.mu → the log's → controlSession.mu → Conn.mu        the events of one run with a log, see run.Hub
//	run.Hub's → controlSession.mu                           a run begins whose thread is followed
//	the log's → httpStream.mu, loopStream.mu → Conn.mu      the events of a stream over HTTP
//	httpStreams.mu → httpStream.mu                          all streams are closed
//	scopes.mu, controlSessions.mu                           alone
//	Client.mu → mux.mu, states.mu                           the connection of a client changes
//	Transport.mu → mux.mu                                   a connection of a Transport has ended
//	mux.mu → states.mu, Conn.mu                             what a client has asked for on agloop.v1
//	inbox.mu → Conn.mu                                      the events that wait for a bare run
//	backpressure.mu → Conn.mu                               who waits for OnDrain
//	link.sending → Conn.mu                                  an event of a Transport, or an input
//	httpServer.mu → loop.HTTPConn's                         connections that speak plain HTTP
//	hookCalls.mu, peers.mu, live.mu                         alone
//
// Where a package stands its own locks are meant.
//
// Loops take session.mu, activeSessions.mu, Client.mu, mux.mu, inbox.mu, backpressure.mu,
// hookCalls.mu, peers.mu and Transport.mu, so these are held for a few instructions only. Locks of package loop come last; see there.
//
// # What is promised
//
// Hosts build on agloop, server, client, agui, auth, run, answer, metrics, metrics/prom and tune, and test
// with aguitest, aguitest/serve and run/storetest. The other packages are building blocks: loop,
// codec/frame, codec/handshake, codec/event, batch, bufpool and memmon may change in any minor version. A type of
// theirs that has a name here, as Conn has, is promised by that name.
//
// # Where to start reading
//
// server.go and server_session.go here, then run/run.go for a run's life, run/hub.go and run/log.go
// for one that has a log, server_control.go for the wire of those, server_binding.go for runs over HTTP; loop/doc.go for the reactor, codec/frame, codec/handshake and codec/event for the wire, agui/doc.go for the nouns.
package agloop
