package loop

import (
	"fmt"
	"math"
	"time"

	"github.com/agloop/agloop/tune"
	"golang.org/x/time/rate"
)

// Rates bound how often things may happen. A zero or negative rate is no limit; a zero burst is one
// second's worth. NaN, infinity, a negative burst, and a burst beside a zero rate are errors of the
// config. Behind a proxy that is not trusted all peers share its address, which is why none but
// Control and Guesses are on by themselves; PublicRates are a set for the open internet.
type Rates struct {
	// Accepts is connections accepted per second. Above it the backlog waits.
	Accepts      float64
	AcceptsBurst int
	// AcceptsPerIP is connections per second from one network, /24 or /64. Above it a connection is
	// answered 429 with Retry-After.
	AcceptsPerIP      float64
	AcceptsPerIPBurst int
	// Messages is messages per second on one connection, Bytes their payload bytes. Above either
	// the connection is closed with 1008.
	Messages      float64
	MessagesBurst int
	Bytes         float64
	// BytesBurst must not be below Limits.MaxMessage, or the largest messages could never pass. 0
	// is one second's worth, or MaxMessage if that is more.
	BytesBurst int
	// Control is control frames per second on one connection: pings, and pongs that answer none of
	// ours. Above it the connection is closed with 1008. A zero rate is 10 and a burst of 20; only
	// a negative one is no limit.
	Control      float64
	ControlBurst int
	// Runs is inputs per second on one connection of an agent. Above it an input is refused with
	// RUN_ERROR, code rate_limited, and the connection stays. Over HTTP it is inputs per second of one
	// network, /24 or /64, and they are answered 429.
	Runs      float64
	RunsBurst int
	// Guesses is how many times a second one network, /24 or /64, may ask agloop.v1 for a run that is
	// not there or not for it, or for a session whose secret nobody has. Who resumes a run, and so
	// names the epoch of its log, guesses nothing. At the limit the connection is closed with 1008,
	// and further ones are answered 429 with Retry-After. A zero rate is 10 a minute, and a burst of 10;
	// only a negative one is no limit.
	Guesses      float64
	GuessesBurst int
}

// PublicRates are rates for a server on the open internet: 5,000 connections a second, 50 from one
// network (200 at once), on one connection 50 messages (100) and 256 KiB, 10 control frames (20)
// and 2 runs (10). Behind a proxy name it in the server's TrustedProxies, or all clients are one
// network.
func PublicRates() Rates {
	return Rates{
		Accepts: 5000, AcceptsPerIP: 50, AcceptsPerIPBurst: 200,
		Messages: 50, MessagesBurst: 100, Bytes: 256 << 10,
		Control: controlRate, ControlBurst: controlBurst,
		Runs: 2, RunsBurst: 10,
		Guesses: guessRate, GuessesBurst: guessBurst,
	}
}

// The defaults of Rates.Control and Rates.Guesses.
const (
	controlRate  = 10
	controlBurst = 20
	guessRate    = 10. / 60
	guessBurst   = 10
)

// WithDefaults returns r with the zeros of BytesBurst, Control and Guesses replaced by their defaults, or a *tune.ConfigError
// that names the first field that makes no sense. l has its defaults already.
func (r Rates) WithDefaults(l Limits) (Rates, error) {
	if r.Bytes > 0 && r.BytesBurst == 0 {
		r.BytesBurst = max(secondsWorth(r.Bytes), l.MaxMessage)
	}
	if r.Control == 0 {
		r.Control = controlRate
		if r.ControlBurst == 0 {
			r.ControlBurst = controlBurst
		}
	}
	if r.Guesses == 0 {
		r.Guesses = guessRate
		if r.GuessesBurst == 0 {
			r.GuessesBurst = guessBurst
		}
	}
	return r, r.check(l.MaxMessage)
}

func (r *Rates) check(maxMessage int) error {
	for _, f := range []struct {
		name  string
		rate  float64
		burst int
	}{
		{"Rates.Accepts", r.Accepts, r.AcceptsBurst},
		{"Rates.AcceptsPerIP", r.AcceptsPerIP, r.AcceptsPerIPBurst},
		{"Rates.Messages", r.Messages, r.MessagesBurst},
		{"Rates.Bytes", r.Bytes, r.BytesBurst},
		{"Rates.Control", r.Control, r.ControlBurst},
		{"Rates.Runs", r.Runs, r.RunsBurst},
		{"Rates.Guesses", r.Guesses, r.GuessesBurst},
	} {
		switch {
		case math.IsNaN(f.rate) || math.IsInf(f.rate, 1):
			return &tune.ConfigError{Field: f.name, Reason: fmt.Sprintf("%v is no rate; 0 is no limit", f.rate)}
		case f.burst < 0:
			return &tune.ConfigError{Field: f.name + "Burst", Reason: fmt.Sprintf("%d must not be negative; 0 is one second's worth", f.burst)}
		case f.burst > 0 && f.rate == 0:
			return &tune.ConfigError{Field: f.name + "Burst", Reason: fmt.Sprintf(
				"%d has no effect without a rate; set %s, or to a negative number for no limit", f.burst, f.name,
			)}
		}
	}
	if r.Bytes > 0 && r.BytesBurst < maxMessage {
		return &tune.ConfigError{Field: "Rates.BytesBurst", Reason: fmt.Sprintf(
			"%d is below Limits.MaxMessage, %d, so the largest messages could never pass; raise it, or lower MaxMessage",
			r.BytesBurst, maxMessage,
		)}
	}
	return nil
}

// Bucket is a limit of its own for who stands above the loops. A nil Bucket allows all.
type Bucket struct{ lim *rate.Limiter }

// NewBucket returns a bucket of the given rate, or nil for no limit.
func NewBucket(perSecond float64, burst int) *Bucket {
	if perSecond <= 0 {
		return nil
	}
	return &Bucket{limiter(perSecond, burst)}
}

// Allow takes a token if there is one. Any goroutine.
func (b *Bucket) Allow() bool { return b == nil || b.lim.Allow() }

// limiter is nil for no limit.
func limiter(perSecond float64, burst int) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	if burst <= 0 {
		burst = secondsWorth(perSecond)
	}
	return rate.NewLimiter(rate.Limit(perSecond), burst)
}

// secondsWorth is the burst of a rate that has none of its own.
func secondsWorth(perSecond float64) int { return max(1, int(min(perSecond, math.MaxInt32))) }

// inflow limits what one connection sends. It exists once the connection has sent something, and
// only where there is a limit.
type inflow struct{ messages, bytes, control *rate.Limiter }

// inflow returns that of c, a new one if there is none.
func (l *Loop) inflow(c *Conn) *inflow {
	l.owner.check()
	f := l.inflows[c]
	if f == nil {
		r := &c.endpoint.rates
		f = &inflow{
			messages: limiter(r.Messages, r.MessagesBurst), bytes: limiter(r.Bytes, r.BytesBurst),
			control: limiter(r.Control, r.ControlBurst),
		}
		if l.inflows == nil {
			l.inflows = make(map[*Conn]*inflow)
		}
		l.inflows[c] = f
	}
	return f
}

// allow takes the tokens of one message. On the loop.
func (l *Loop) allow(c *Conn, size int) bool {
	r := &c.endpoint.rates
	if r.Messages <= 0 && r.Bytes <= 0 {
		return true
	}
	f, now := l.inflow(c), time.Now()
	switch {
	case f.messages != nil && !f.messages.AllowN(now, 1):
		c.endpoint.door.refused.messages.Add(1)
	case f.bytes != nil && !f.bytes.AllowN(now, size):
		c.endpoint.door.refused.bytes.Add(1)
	default:
		return true
	}
	return false
}

// allowControl takes the token of one control frame. On the loop.
func (l *Loop) allowControl(c *Conn) bool {
	if c.endpoint.rates.Control <= 0 {
		return true
	}
	if l.inflow(c).control.Allow() {
		return true
	}
	c.endpoint.door.refused.control.Add(1)
	return false
}

// trimInflow forgets that of a connection which has sent only control frames, and none lately: a
// peer that pings now and then need not keep one.
func (l *Loop) trimInflow(c *Conn) {
	f := l.inflows[c]
	if f != nil && f.messages == nil && f.bytes == nil && f.control.Tokens() >= float64(f.control.Burst()) {
		delete(l.inflows, c)
	}
}
