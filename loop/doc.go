// Package loop is the reactor: it keeps connections on the event loops of gnet and
// is the only package that imports it.
//
// # The way of a message
//
//	in   kernel → the loop's read buffer → frame header → unmask in place → Handler.OnMessage
//	out  Conn.Send → the connection's outbox → the loop's dirty list → one wake per loop
//	     → one write per dirty connection → kernel
//
// # Who owns what
//
// A loop is one goroutine. Read state, timers and what is being written belong to
// it and take no lock. The outbox is the one door from other goroutines, and its mutex
// the one lock of the hot path. Struct fields stand under a heading that names
// their owner; the build tag aguidebug checks the loop's claims while running.
//
// Lock order: Conn.mu and Loop.mu are never held together.
//
// Start reading at engine.go, then conn.go and read.go. The outbound side is cut by
// question: outbox.go says what waits, schedule.go when it leaves, writer.go by whom,
// send.go by which system calls, blocked.go what the kernel refused; then close.go.
package loop
