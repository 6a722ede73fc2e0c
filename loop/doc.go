// Package loop is the reactor: it keeps connections on the event loops of gnet and is the only
// package that imports it.
//
// A building block: it may change in any minor version.
//
// # The way of a message
//
//	in   kernel → the loop's read buffer → (TLS) → frame header → unmask in place → (inflate) → Handler.OnMessage
//	out  Conn.Send → the connection's outbox → one write, by one of four → (deflate) → (TLS) → kernel
//
// The four are the goroutine that sent, for a single frame; the loop's writer, for a burst; the
// loop, for what a callback sent and for what waited for others; the poller's goroutine, for what
// the kernel had no room for.
//
// # Who owns what
//
// A loop is one goroutine. Read state and timers belong to it and take no lock, and so do replies
// (Conn.Reply). Other goroutines come in by the outbox alone. Its mutex, under which alone a socket
// is written to, is the one lock of the hot path. Struct fields stand under a heading that names
// their owner; the build tag aguidebug checks the loop's claims while running.
//
// What connections are for is their Endpoint: handler, limits, tuning. A server's Door lets them in
// to it, and Dialer.Dial makes those of a client.
//
// # Lock order
//
//	Conn.mu → poller.mu, holders.mu    each held for one access to a map
//	Conn.mu → crypto/tls's → ahead.mu  the loop may come in at crypto/tls's, inside tls.Conn.Read
//	tlsHandshakes.mu → tlsHandshake.mu each held for a look at a list
//	Loop.mu                            alone: never together with Conn.mu
//	Engine.enrolls                     alone, held for reading while a connection is enrolled
//	judges, networks, Tally, HTTPConn  alone
//
// What is done under Conn.mu is a function that unlocks by defer, so that no panic leaves it
// locked.
//
// # Where to start reading
//
// engine.go, conn.go, read.go. The outbound side is cut by question: outbox.go says what waits,
// schedule.go when it leaves, writer.go by whom, send.go by which system calls, blocked.go and
// poller_linux.go what the kernel refused; then close.go. endpoint.go says what a connection is
// for, door.go and accept.go how it comes in, handshake.go, admit.go and judge.go how it is let in,
// mount.go and http_conn.go how it comes from net/http and goes there, account.go what it holds.
// layers.go is what lies between frames and kernel: deflate.go compresses; tls_link.go, then
// tls_accept.go, tls_handshake.go and tls_read.go are TLS. watchdog.go looks after the loops.
package loop
