package agloop

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"
)

// slot keeps one connection to one URL. While it has none, a goroutine restores it;
// while it has one, nobody does anything for it.
type slot struct {
	// Immutable.
	transport *Transport
	remote    *remote

	// Whoever restores it, otherwise the loop of its connection.
	failures int  // in a row: dials that failed, connections that came to nothing
	dialled  bool // since Start

	// Any goroutine, under Transport.mu.
	link  *link // nil while there is no connection
	tried bool  // the first attempt is over
}

const (
	// steady is how long a connection must live to count as a success without a run.
	stableAfter = 10 * time.Second
	// maxRetryAfter bounds what a server may ask for.
	maxRetryAfter = 5 * time.Minute
)

// backoff is the pause before a connection is dialled again.
type backoff struct {
	min, max time.Duration
	random   func(n int64) int64 // uniform in [0, n)
}

// delay spreads the clients of a server that comes back over the whole pause, and behind what
// the server asked for: those it told the same would come all at once.
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

// restore dials until the slot has a connection or the lifetime is over. lost is why
// the one before ended, nil for the first.
func (s *slot) dialUntilUp(life *lifetime, lost error) {
	t := s.transport
	for err := lost; ; {
		if err != nil && !s.waitToRedial(life.ctx, err) {
			break
		}
		var l *link
		if l, err = s.dial(life); err == nil {
			if t.linkConnected(life, l) {
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
	t.mu.Lock()
	defer t.mu.Unlock()
	life.slotEnded()
}

// pause waits before dialling again after err, and returns false when it need not be.
func (s *slot) waitToRedial(ctx context.Context, err error) bool {
	t := s.transport
	var retryAfter time.Duration
	if de, ok := errors.AsType[*DialError](err); ok {
		retryAfter = de.RetryAfter
	}
	wait := t.backoff.delay(s.failures, retryAfter)
	if s.failures == 0 { // a server that stays away is not news every time
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
	req, addr, err := parseURL(s.remote.url)
	if err != nil {
		return nil, err
	}
	req.Header, req.Protocols = t.cfg.Client.Header, t.cfg.Client.Protocols
	nc, err := t.cfg.Client.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	l := newLink(s, life)
	conn, protocol, err := life.endpoint.Dial(ctx, nc, req, l)
	if err != nil {
		return nil, err
	}
	l.client = &Client{conn: conn, protocol: protocol, inbox: l.inbox}
	l.since = time.Now()
	return l, nil
}

// dialFailed notes an attempt that came to nothing.
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

// try notes that an attempt is over. Under mu.
func (life *lifetime) noteAttempt(s *slot) {
	if s.tried {
		return
	}
	s.tried = true
	if life.untried--; life.untried == 0 {
		close(life.allTried)
	}
}

// connected takes a connection that was dialled. It returns false when that has
// ended already.
func (t *Transport) linkConnected(life *lifetime, l *link) bool {
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
		t.pool.makeFree(l)
	}
	t.mu.Unlock()
	if over {
		_ = l.client.Close()
	}
	return true
}

// ended takes note of a connection that is gone and has it dialled again. On its loop.
func (t *Transport) linkEnded(l *link, why *CloseError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.gone, l.closeErr = true, why
	close(l.ended)
	s := l.slot
	if s.link != l { // connected will see it
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
	if l.useful.Load() || time.Since(l.since) >= stableAfter {
		s.failures = 0
	}
	go s.dialUntilUp(l.lifetime, why)
}

// lose counts a connection that ended by itself. Under mu.
func (t *Transport) countLost(l *link) {
	t.counts.lost++
	t.counts.lastErr = l.closeErr
}
