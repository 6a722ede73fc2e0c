package agloop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Resume says how a client keeps its runs when its connection ends. The zero value resumes whenever
// the server offers it. A client with a Handler never does.
type Resume struct {
	// Off has the client speak the bare wire alone: a run ends with its connection then.
	Off bool
	// MinBackoff and MaxBackoff bound the pause before the client dials again: after n failures in a
	// row it is uniform between 0 and min(MaxBackoff, MinBackoff·2ⁿ). What the server asks for, up
	// to 5 min, comes before that pause. 0 is 100 ms and 30 s, or MinBackoff if that is more. A
	// Transport has ReconnectMin and ReconnectMax for this.
	MinBackoff, MaxBackoff time.Duration
	// MaxElapsed is how long the client tries without success before it gives up and its sequences
	// end with ErrTruncated. 0 is 10 min, as long as a server keeps the session of a client without
	// a principal; negative is for ever, as a Transport does in any case. One attempt may take 15 s.
	MaxElapsed time.Duration
	// Secret is the Client.Secret of another client, whose runs without a principal this one is to
	// find: that of the process before, or of who shares a link. "" begins a session of its own.
	Secret string
}

// withDefaults returns r with its zeros replaced, or what is wrong with it.
func (r Resume) withDefaults() (Resume, error) {
	if r.MinBackoff == 0 {
		r.MinBackoff = 100 * time.Millisecond
	}
	if r.MaxBackoff == 0 {
		r.MaxBackoff = max(30*time.Second, r.MinBackoff)
	}
	if r.MaxElapsed == 0 {
		r.MaxElapsed = 10 * time.Minute
	}
	switch {
	case r.MinBackoff < 0:
		return r, &ConfigError{Field: "Resume.MinBackoff", Reason: "must not be negative"}
	case r.MaxBackoff < r.MinBackoff:
		return r, &ConfigError{Field: "Resume.MaxBackoff", Reason: "must not be below MinBackoff"}
	}
	return r, nil
}

// ready returns the connection to use, and dials when there is none. It is nil while the client
// dials again by itself: what is asked for waits for that.
func (c *Client) ready(ctx context.Context) (*connection, error) {
	if c.mux == nil {
		return nil, &ConfigError{Field: "Handler", Reason: "excludes runs"}
	}
	if k, done, err := c.usable(); done {
		return k, err
	}
	select {
	case c.dialling <- struct{}{}:
		defer func() { <-c.dialling }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if k, done, err := c.usable(); done { // somebody else has dialled
		return k, err
	}
	c.states.set(ConnState{Phase: ConnConnecting})
	connected := false
	defer func() {
		if !connected { // a function of the config may have panicked
			c.states.set(ConnState{Phase: ConnClosed, Err: errDialExited})
		}
	}()
	k, err := c.dialBy(ctx, c.cfg.connect)
	connected = true
	if err != nil {
		c.states.set(ConnState{Phase: ConnClosed, Err: err})
		return nil, err
	}
	return k, c.adopt(k)
}

// usable returns the connection of now, and whether there is nothing to dial for.
func (c *Client) usable() (k *connection, done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, true, ErrClientClosed
	case c.current != nil:
		return c.current, true, nil
	}
	return nil, c.redialling, nil
}

// adopt makes k the client's connection.
func (c *Client) adopt(k *connection) error {
	if err := c.adoptLocked(k); err != nil {
		k.conn.Close(CloseNormal, "")
		return err
	}
	if !k.bare.Load() {
		c.mux.connected(k.wire) // unless it has ended meanwhile
	}
	return nil
}

// adoptLocked is the part of adopt under mu.
func (c *Client) adoptLocked(k *connection) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClientClosed
	}
	c.current, c.latest = k, k
	c.redialling = false
	c.states.set(ConnState{Phase: ConnOpen})
	switch {
	case !k.bare.Load():
		c.mux.revive()
	case c.cfg.resumes():
		c.mux.failAll(ErrNoResume) // what the server before had
	}
	if k.ended {
		c.endedLocked(k)
	}
	return nil
}

// retire has the next run dial again: this connection is about to be closed.
func (c *Client) retire(k *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == k {
		c.current = nil
	}
}

// connectionEnded notes that a connection is gone. On its loop.
func (c *Client) connectionEnded(k *connection, why *CloseError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.ended, k.why = true, why
	c.endedLocked(k)
}

// endedLocked dials again for runs that go on without their connection. Under mu.
func (c *Client) endedLocked(k *connection) {
	if c.latest != k {
		return // it is still being dialled
	}
	if c.current == k {
		c.current = nil
	}
	if c.closed {
		return
	}
	if k.bare.Load() {
		c.states.set(ConnState{Phase: ConnClosed, Err: k.why})
		return
	}
	if k.wire.wasUseful() || time.Since(k.since) >= stableAfter {
		c.failures = 0
	}
	if c.failures == 0 {
		c.outage = time.Now()
	}
	c.redialling = true
	go c.redial(k.why, k.wire.retryAfter())
}

// retryAfter is how long the server asked its clients to stay away when it said that it goes.
func (w *wire) retryAfter() time.Duration {
	w.mux.mu.Lock()
	defer w.mux.mu.Unlock()
	if w.going == nil || !(w.going.RetryAfter > 0) {
		return 0
	}
	return time.Duration(min(w.going.RetryAfter, maxRetryAfter.Seconds()) * float64(time.Second))
}

// wasUseful reports whether an event has come.
func (w *wire) wasUseful() bool {
	w.mux.mu.Lock()
	defer w.mux.mu.Unlock()
	return w.useful
}

// redial dials until there is a connection, the client is closed, or it has tried for too long. It
// is the one goroutine of a client, and lasts as long as there is no connection.
func (c *Client) redial(why error, retryAfter time.Duration) {
	done := false
	defer func() {
		if !done { // a function of the config has called runtime.Goexit
			go c.redial(errDialExited, 0)
		}
	}()
	for {
		wait := c.backoff.delay(c.failures, retryAfter)
		c.failures++
		if most := c.cfg.Resume.MaxElapsed; most >= 0 && time.Since(c.outage)+wait > most {
			break
		}
		c.states.set(ConnState{
			Phase: ConnReconnecting, Attempt: c.failures, At: time.Now().Add(wait), Err: why,
		})
		if !c.pause(c.life, wait) {
			done = true
			return
		}
		c.states.set(ConnState{Phase: ConnReconnecting, Attempt: c.failures, Err: why})
		k, err := c.dialAgain()
		if err == nil {
			done = true
			_ = c.adopt(k) // or it was closed meanwhile
			return
		}
		if c.life.Err() != nil {
			done = true
			return
		}
		why, retryAfter = err, 0
		if refused, ok := errors.AsType[*DialError](err); ok {
			retryAfter = refused.RetryAfter
		}
	}
	done = true
	c.giveUp(why)
}

// dialAgain makes one attempt, in a goroutine of ours.
func (c *Client) dialAgain() (*connection, error) {
	ctx, cancel := context.WithTimeout(c.life, redialTimeout)
	defer cancel()
	return c.dialBy(ctx, c.cfg.connectGuarded)
}

// redialTimeout bounds one attempt to dial again, Auth included.
const redialTimeout = 15 * time.Second

// giveUp ends what waits for a connection. The next call dials again.
func (c *Client) giveUp(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.redialling = false
	c.failures = 0
	c.states.set(ConnState{Phase: ConnClosed, Err: why})
	c.mux.failAll(why)
}

// pause waits, and returns false when ctx ends first.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// awaitHello waits for the first frame of a server that speaks agloop.v1, at most within, unless
// that is negative.
func (w *wire) awaitHello(ctx context.Context, protocol string, within time.Duration) error {
	w.mux.mu.Lock()
	w.speaks = true
	switch op := opcodeOf(protocol); w.op {
	case 0:
		w.op = op
	case op:
	default:
		w.fail(errOpcode)
	}
	w.mux.mu.Unlock()
	var late <-chan time.Time
	if within > 0 {
		timer := time.NewTimer(within)
		defer timer.Stop()
		late = timer.C
	}
	var err error
	select {
	case <-w.greeted:
	case <-late:
		err = fmt.Errorf("agloop: dial: the server chose %s and sent no hello within %v", protocol, within)
	case <-ctx.Done():
		err = ctx.Err()
	}
	w.mux.mu.Lock()
	defer w.mux.mu.Unlock()
	switch {
	case err != nil:
		return err
	case w.fault != nil:
		return fmt.Errorf("agloop: dial: %w", w.fault)
	case w.hello == nil:
		return errNoHello
	}
	return nil
}

// abandon closes a connection whose hello did not come.
func abandon(conn *Conn, why error) {
	code := CloseGoingAway
	if _, broken := errors.AsType[*ProtocolError](why); broken {
		code = CloseProtocolError
	}
	conn.Close(code, "")
}

var errNoHello = errors.New("agloop: dial: the connection ended before the server's hello")

// newBackoff is the pauses that r asks for.
func newBackoff(r Resume) backoff {
	return backoff{min: r.MinBackoff, max: r.MaxBackoff, random: rand.Int64N}
}
