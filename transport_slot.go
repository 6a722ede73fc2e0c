package agloop

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/agloop/agloop/codec/control"
)

// slot keeps one connection to one URL. A goroutine works for it only while it has none, and dials.
type slot struct {
	// Immutable.
	transport *Transport
	remote    *remote
	mux       *mux // of what goes on over agloop.v1, whatever the connection

	// The goroutine that dials; while there is none, the loop of the connection.
	failures   int           // in a row: failed dials, and connections that ended soon
	dialled    bool          // at least once since Start
	retryAfter time.Duration // what a server that was going has asked for

	// Any goroutine, under Transport.mu.
	link  *link // nil while there is no connection
	tried bool  // the first attempt is over
	holds bool  // a run of agloop.v1 goes on, also while there is no connection
}

const (
	// stableAfter is how long a connection without a run must live to count as a success.
	stableAfter = 10 * time.Second
	// maxRetryAfter bounds what a server may ask for.
	maxRetryAfter = 5 * time.Minute
)

// errDialExited is the error of a dial in which a function of the host's calls runtime.Goexit, as
// FailNow of a test does.
var errDialExited = errors.New("agloop: dial: a function of ClientConfig ended its goroutine")

// backoff is the pause before a connection is dialled again.
type backoff struct {
	min, max time.Duration
	random   func(n int64) int64 // uniform in [0, n)
}

// delay spreads the clients of a server that comes back over the whole pause. What the server asked
// for comes before that, since it may have asked all of them for the same.
func (b backoff) delay(failures int, retryAfter time.Duration) time.Duration {
	bound := b.min
	for range failures {
		if bound > b.max/2 {
			bound = b.max
			break
		}
		bound *= 2
	}
	return min(retryAfter, maxRetryAfter) + time.Duration(b.random(int64(bound)+1))
}

// dialUntilUp dials until the slot has a connection or the lifetime is over. lost says why the
// connection before ended; it is nil for the first.
func (s *slot) dialUntilUp(life *lifetime, lost error) {
	t := s.transport
	done := false
	defer func() {
		if !done {
			t.dialFailed(life, s, errDialExited)
			go s.dialUntilUp(life, errDialExited)
		}
	}()
	for err := lost; ; {
		if err != nil && !s.waitToRedial(life.ctx, err) {
			break
		}
		var l *link
		if l, err = s.dial(life); err == nil {
			if done = t.linkConnected(life, l); done {
				return
			}
			err = l.closeErr
			continue
		}
		if life.ctx.Err() != nil {
			break
		}
		t.dialFailed(life, s, err)
	}
	done = true
	t.mu.Lock()
	defer t.mu.Unlock()
	life.slotEnded()
}

// waitToRedial waits before the slot dials again after err, and returns false when ctx ends.
func (s *slot) waitToRedial(ctx context.Context, err error) bool {
	t := s.transport
	retryAfter := s.retryAfter
	s.retryAfter = 0
	if de, ok := errors.AsType[*DialError](err); ok {
		retryAfter = de.RetryAfter
	}
	wait := t.backoff.delay(s.failures, retryAfter)
	if s.failures == 0 { // the same news once, not at every attempt
		t.log.LogAttrs(ctx, slog.LevelWarn, "agloop: connection to dial again",
			slog.String("url", s.remote.name), slog.Any("error", err), slog.Duration("in", wait))
	}
	s.failures++
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// dial makes one attempt.
func (s *slot) dial(life *lifetime) (*link, error) {
	t := s.transport
	t.mu.Lock()
	t.counts.dials++
	if s.dialled {
		t.counts.redials++
	}
	t.mu.Unlock()
	s.dialled = true

	ctx, cancel := context.WithTimeout(life.ctx, t.cfg.DialTimeout)
	defer cancel()
	u, err := parseURL(s.remote.url, "ws", "wss")
	if err != nil {
		return nil, err
	}
	nc, dial, err := t.cfg.Client.connectGuarded(ctx, u)
	if err != nil {
		return nil, err
	}
	l := newLink(s, life)
	dial.User = l
	conn, protocol, err := life.dialer.Dial(ctx, nc, dial)
	if err != nil {
		return nil, err
	}
	l.conn, l.since = conn, time.Now()
	if !control.Speaks(protocol) || l.bare.Load() {
		l.bare.Store(true)
		return l, nil
	}
	if err := l.wire.awaitHello(ctx, protocol, t.cfg.Client.Limits.HandshakeTimeout); err != nil {
		abandon(conn, err)
		return nil, err
	}
	return l, nil
}

// dialFailed counts an attempt that failed.
func (t *Transport) dialFailed(life *lifetime, s *slot, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.lastErr, s.remote.lastErr = err, err
	failures := &t.counts.failures
	_, refused := errors.AsType[*DialError](err)
	ne, _ := errors.AsType[net.Error](err)
	switch {
	case refused:
		failures.Refused++
	case ne != nil && ne.Timeout():
		failures.Timeout++
	default:
		failures.Network++
	}
	life.noteAttempt(s)
}

// noteAttempt notes that an attempt of s is over. Under Transport.mu.
func (life *lifetime) noteAttempt(s *slot) {
	if s.tried {
		return
	}
	s.tried = true
	if life.untried--; life.untried == 0 {
		close(life.allTried)
	}
}

// linkConnected takes a connection that was dialled. It returns false when that has ended already.
func (t *Transport) linkConnected(life *lifetime, l *link) bool {
	if !l.bare.Load() {
		l.slot.mux.revive() // before a run can have it
	}
	t.mu.Lock()
	life.noteAttempt(l.slot)
	if l.gone {
		t.countLost(l)
		t.mu.Unlock()
		return false
	}
	l.slot.link, l.slot.remote.lastErr = l, nil
	t.pool.up++
	over := life.ctx.Err() != nil
	if !over {
		if !life.isUp {
			life.isUp = true
			close(life.up)
		}
		close(t.arrival)
		t.arrival = make(chan struct{})
		if !l.slot.holds {
			t.pool.makeFree(l)
		}
	}
	t.mu.Unlock()
	switch {
	case over:
		l.slot.mux.failAll(ErrClientClosed)
		l.close()
	case l.bare.Load():
		l.slot.mux.failAll(ErrNoResume) // what the server before had
	default:
		l.slot.mux.connected(l.wire)
	}
	return true
}

// linkEnded notes that a connection is gone, and starts dialling again. On its loop.
func (t *Transport) linkEnded(l *link, why *CloseError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.gone, l.closeErr = true, why
	close(l.ended)
	s := l.slot
	if s.link != l { // linkConnected will see that it is gone
		return
	}
	s.link = nil
	t.pool.linkGone(l)
	if t.eventLink == l {
		t.eventLink = nil
	}
	if l.lifetime.ctx.Err() != nil {
		l.lifetime.slotEnded()
		return
	}
	t.countLost(l)
	s.retryAfter = l.wire.retryAfter()
	if l.useful.Load() || time.Since(l.since) >= stableAfter {
		s.failures = 0
	}
	go s.dialUntilUp(l.lifetime, why)
}

// countLost counts a connection that ended while the transport runs. Under mu.
func (t *Transport) countLost(l *link) {
	t.counts.lost++
	t.counts.lastErr = l.closeErr
}
