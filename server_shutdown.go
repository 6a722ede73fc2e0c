package agloop

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/agloop/agloop/loop"
)

// Shutdown ends the server in order: it stops accepting, lets active runs go on for DrainTimeout
// and then cancels them, so that they end with outcome cancelled. No run begins any more: inputs
// that wait or come are refused with RUN_ERROR, code shutting_down, and runs that wait for their
// thread are cancelled. Clients of agloop.v1 are told that the server is going. Every connection is
// closed with 1001 once it has no run. Requests of plain HTTP are answered, but a body that does not
// come and a response that is not read have one second more. Shutdown returns when all connections
// and runs are gone and Hooks were told of their ends, or with ctx's error when that ends first; what
// is left is cut then. It does not wait longer for a handler that blocks its loop, nor for an agent
// that heeds no context: those end when they return.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopAccepting()
	served := make(chan error, 1)
	go func() { served <- s.http.shutdown(ctx) }() // it waits for the requests that are being answered
	for _, sess := range s.controls.list() {
		sess.tellGoing()
	}
	s.closeIdle()
	if d := s.cfg.DrainTimeout; d > 0 {
		drain, cancel := context.WithTimeout(ctx, d)
		_ = s.poll(drain, func() bool { return s.activeRuns() == 0 })
		cancel()
	}
	s.cancelRuns()
	// The run of a client that has gone may go on, and who is told of its end would never be if the
	// process ended before.
	err := s.poll(ctx, func() bool { return s.activeRuns() == 0 })
	s.awaitAway(ctx)
	err = cmp.Or(err, s.poll(ctx, func() bool { return s.door.Slots().Used() == 0 }))
	err = cmp.Or(err, <-served)
	s.http.close()
	return cmp.Or(err, s.stop(ctx), s.hooks.wait(ctx)) // which are called in this order
}

// awayWait is how long Shutdown waits, when no run goes on, for clients of agloop.v1 that said they
// would come back to one.
const awayWait = time.Second

// awaitAway waits for them, and then gives them up: they may never come, and nothing else ends their
// connections.
func (s *Server) awaitAway(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, awayWait)
	defer cancel()
	isAway := (*controlSession).isAway
	_ = s.poll(within, func() bool { return !slices.ContainsFunc(s.controls.list(), isAway) })
	for _, sess := range s.controls.list() {
		sess.giveUpAway()
	}
}

// closeWait is how long Close waits for handlers that are being called.
const closeWait = time.Second

// Close ends the server at once: connections are cut, runs cancelled. It waits a second for
// handlers that are being called, and returns an error if one goes on.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	s.stopAccepting()
	s.http.close()
	s.cancelRuns()
	return s.stop(ctx)
}

// stopAccepting closes the listeners and waits for their accept loops.
func (s *Server) stopAccepting() {
	s.mu.Lock()
	s.state = serverStopping
	s.active.close()
	if s.hub != nil {
		s.hub.Close()
	}
	s.door.StopAccepting()
	for ln := range s.listeners {
		ln.Close()
	}
	s.mu.Unlock()
	s.accepting.Wait()
}

// stop ends the loops and what watches them. It may be called again.
func (s *Server) stop(ctx context.Context) error {
	s.streams.closeAll(CloseGoingAway, "server shuts down")
	s.performance.stop()
	s.scopes.stop()
	if s.ownStore != nil {
		s.ownStore.Close()
	}
	s.topics.Close()
	return s.engine.Stop(ctx)
}

// closeIdle closes every connection without a run; those with one are closed by their session when
// it ends.
func (s *Server) closeIdle() {
	busy := make(map[*Conn]bool)
	for _, sess := range s.active.list() {
		busy[sess.conn] = true
	}
	for _, sess := range s.controls.list() {
		if sess.hasRuns() {
			busy[sess.conn] = true
		}
	}
	s.door.Slots().Each(func(c *Conn) {
		if !busy[c] && !loop.IsResponse(c) {
			c.Close(CloseGoingAway, "server shuts down")
		}
	})
}

func (s *Server) cancelRuns() {
	if s.hub != nil {
		s.hub.CancelAll(ErrShutdown)
	}
	for _, sess := range s.active.list() {
		sess.cancel(ErrServerClosed)
	}
}

// activeRuns is how many runs go on, or connections that have one.
func (s *Server) activeRuns() int {
	n := s.active.count()
	if s.hub != nil {
		n += s.hub.Busy()
	}
	return n
}

// poll waits until done, or ctx ends. It polls, as net/http's Shutdown does, since connections end
// on many loops and nobody else needs to know which was the last.
func (s *Server) poll(ctx context.Context, done func() bool) error {
	pause := time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			pause = min(2*pause, 50*time.Millisecond)
			timer.Reset(pause)
		}
	}
	return nil
}
