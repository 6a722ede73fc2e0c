// Package loop is the reactor: it keeps connections on the event loops of gnet and
// is the only package that imports it.
//
// # The way of a message
//
//	in   kernel → the loop's read buffer → frame header → unmask in place → Handler.OnMessage
//	out  Conn.Send → the connection's outbox → one write, by whoever may: the emitter for a lone
//	     frame, the loop's writer for a burst, the loop for what a callback sent, the poller
//	     for what the kernel had no room for → kernel
//
// # Who owns what
//
// A loop is one goroutine. Read state and timers belong to it and take no lock, and so do
// replies (Conn.Reply). The outbox is the one door from other goroutines, and its mutex,
// under which alone a socket is written to, the one lock of the hot path. Struct fields stand under a heading that names
// their owner; the build tag aguidebug checks the loop's claims while running.
//
// Lock order: Conn.mu and Loop.mu are never held together. Under Conn.mu a poller's and a
// list of holders' may be taken, which are held for a map access. What is under Conn.mu is
// a function that unlocks by defer, so that no panic leaves it locked.
//
// Start reading at engine.go, then conn.go and read.go. The outbound side is cut by
// question: outbox.go says what waits, schedule.go when it leaves, writer.go by whom,
// send.go by which system calls, blocked.go and poller_linux.go what the kernel refused;
// then close.go. account.go counts what is held, watchdog.go looks after the loops.
package loop
