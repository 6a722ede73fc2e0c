package loop

import (
	"fmt"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/tune"
)

// Limits bound what a connection may cost and how long it may take. The zero value of each field is
// the default given beside it. A negative duration turns the limit off, but for CloseTimeout; a
// negative size does so for MessageBatchBytes, and is an error elsewhere.
type Limits struct {
	// HandshakeTimeout is how long an opening handshake may take from accept to the 101 response,
	// however many bytes arrive; of a client from the TCP connection on, with what a proxy takes. 0
	// is 5 s.
	HandshakeTimeout time.Duration
	// MaxHeader is the largest head of a request, in bytes: request line, fields and blank line, of
	// a client the largest head of a response. 0 is 16 KiB, less than 1 KiB does not do; it cannot
	// be turned off. A larger one is answered 431.
	MaxHeader int
	// MaxMessage is the largest payload of a received message, in bytes, over all its fragments. 0
	// is 1 MiB, for the inputs of a server with an Agent 10 MiB, for a client that runs agents
	// MaxEvent and 1 MiB; it cannot be turned off. Larger closes with 1009, an input after
	// RUN_ERROR, code input_too_large. Inputs that wait behind a run may have as many bytes
	// together.
	MaxMessage int
	// MaxFragments is the largest number of frames of one message. 0 is 1,024; it cannot be turned
	// off. More close with 1008.
	MaxFragments int
	// MessageTimeout is how long a message may take from its first byte to its last. 0 is 30 s.
	// Later closes with 1008.
	MessageTimeout time.Duration

	// MaxInputMessages and MaxInputTools are how many messages and tools an input may have. 0 is
	// 10,000 and 1,000; neither can be turned off. An input with more is refused with RUN_ERROR,
	// code input_too_large, and the connection stays.
	MaxInputMessages int
	MaxInputTools    int
	// MaxPatchOps is how many operations one JSON Patch may have, MaxDepth how deep objects and
	// arrays may nest, of an event and of an input, and MaxID how long a threadId, a runId and the
	// id of something said may be, in bytes. 0 is 1,024, 64 and 128; none can be turned off,
	// MaxDepth must lie between 16 and 1,024. What goes beyond the first two is malformed: Emit
	// answers a *FieldError, a client ends the run with one, a server refuses the input with
	// RUN_ERROR, code invalid_input, as it does an id that is too long. Clients must take what
	// their servers send.
	MaxPatchOps int
	MaxDepth    int
	MaxID       int
	// MaxEvent is the largest encoded event that leaves, in bytes. 0 is 1 MiB, less than 4 KiB does
	// not do; it cannot be turned off. Emit and SendEvent answer ErrEventTooBig to larger ones.
	// Clients must take so much.
	MaxEvent int

	// PingInterval is how long a peer may be silent before it is pinged. 0 is 25 s.
	PingInterval time.Duration
	// PongTimeout is how long after a ping any byte must have arrived. 0 is 10 s.
	PongTimeout time.Duration
	// IdleTimeout is how long a connection may stay without a message from the peer and without a
	// run. 0 is 5 min. It closes with 1001.
	IdleTimeout time.Duration

	// SoftLimit is the number of bytes waiting for the peer above which Send answers Backpressure
	// and a run's Emit blocks. 0 is 256 KiB.
	SoftLimit int
	// LowWater is the number of waiting bytes at which OnDrain is called and Emit goes on. 0 is 32
	// KiB, or a quarter of SoftLimit if that is less.
	LowWater int
	// HardLimit is the number of waiting bytes at which a further message cuts the connection: what
	// waits is dropped, and the peer has a second to read close code 4008 behind the frame under
	// way. 0 is 1 MiB, or four times SoftLimit or MaxEvent if one is more. While the loop handles
	// what the peer has sent it is sixteen times as much: many replies to one read do not make a
	// slow reader.
	HardLimit int
	// WriteTimeout is how long the peer may acknowledge no byte while the kernel has no room for
	// what waits for it. 0 is 10 s. Then the connection is cut, at most a second later.
	WriteTimeout time.Duration
	// CloseTimeout bounds the closing handshake: sending what waits, the peer's close frame, the
	// end of the TCP connection. 0 is 5 s; it cannot be turned off.
	CloseTimeout time.Duration

	// MessageBatchSize, MessageBatchTimeout and MessageBatchBytes are the batch window: a message
	// to a quiet connection leaves at once; further ones within the timeout of the last write wait
	// until there are so many messages or bytes, or until the timeout. 0 is 10 messages, 5 ms, 16
	// KiB; a negative timeout or a size of 1 sends everything at once.
	MessageBatchSize    int
	MessageBatchTimeout time.Duration
	MessageBatchBytes   int
}

// WithDefaults returns l with every zero replaced by its default, or a *tune.ConfigError that names
// the first field that makes no sense.
func (l Limits) WithDefaults() (Limits, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	num := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	def(&l.HandshakeTimeout, 5*time.Second)
	num(&l.MaxHeader, 16<<10)
	num(&l.MaxMessage, 1<<20)
	num(&l.MaxFragments, 1024)
	num(&l.MaxInputMessages, 10_000)
	num(&l.MaxInputTools, 1000)
	num(&l.MaxPatchOps, 1024)
	num(&l.MaxDepth, 64)
	num(&l.MaxID, 128)
	num(&l.MaxEvent, 1<<20)
	def(&l.MessageTimeout, 30*time.Second)
	def(&l.PingInterval, 25*time.Second)
	def(&l.PongTimeout, 10*time.Second)
	def(&l.IdleTimeout, 5*time.Minute)
	num(&l.SoftLimit, 256<<10)
	num(&l.LowWater, min(32<<10, l.SoftLimit/4))
	num(&l.HardLimit, max(1<<20, 4*l.SoftLimit, l.MaxEvent))
	def(&l.WriteTimeout, 10*time.Second)
	def(&l.CloseTimeout, 5*time.Second)
	num(&l.MessageBatchSize, 10)
	def(&l.MessageBatchTimeout, 5*time.Millisecond)
	num(&l.MessageBatchBytes, 16<<10)
	return l, l.check()
}

// An input with its tools and messages nests less than minDepth deep by itself. Decoders and patch
// libraries, the peer's among them, take maxDepth.
const minDepth, maxDepth = 16, 1024

// minEvent has room for each event that a run sends by itself, its ids escaped.
const minEvent = 4 << 10

// minHeader has room for what browsers send without cookies.
const minHeader = 1 << 10

func (l *Limits) check() error {
	switch {
	case l.MaxHeader < minHeader:
		return &tune.ConfigError{Field: "Limits.MaxHeader", Reason: fmt.Sprintf("%d must be at least 1 KiB; 0 is 16 KiB", l.MaxHeader)}
	case l.MaxMessage < 0:
		return &tune.ConfigError{Field: "Limits.MaxMessage", Reason: "must not be negative"}
	case l.MaxFragments < 0:
		return &tune.ConfigError{Field: "Limits.MaxFragments", Reason: "must not be negative"}
	case l.MaxInputMessages < 0:
		return &tune.ConfigError{Field: "Limits.MaxInputMessages", Reason: fmt.Sprintf("%d must not be negative; 0 is 10,000", l.MaxInputMessages)}
	case l.MaxInputTools < 0:
		return &tune.ConfigError{Field: "Limits.MaxInputTools", Reason: fmt.Sprintf("%d must not be negative; 0 is 1,000", l.MaxInputTools)}
	case l.MaxPatchOps < 0:
		return &tune.ConfigError{Field: "Limits.MaxPatchOps", Reason: fmt.Sprintf("%d must not be negative; 0 is 1,024", l.MaxPatchOps)}
	case l.MaxDepth < minDepth || l.MaxDepth > maxDepth:
		return &tune.ConfigError{Field: "Limits.MaxDepth", Reason: fmt.Sprintf("%d must lie between %d and %d; 0 is 64", l.MaxDepth, minDepth, maxDepth)}
	case l.MaxID < 0:
		return &tune.ConfigError{Field: "Limits.MaxID", Reason: fmt.Sprintf("%d must not be negative; 0 is 128", l.MaxID)}
	case l.MaxEvent < minEvent || l.MaxEvent > maxPayload:
		return &tune.ConfigError{Field: "Limits.MaxEvent", Reason: fmt.Sprintf("%d must lie between 4 KiB and 1 GiB; 0 is 1 MiB", l.MaxEvent)}
	case l.MaxID > 128 && l.MaxID > 128+(l.MaxEvent-minEvent)/4: // an escaped byte takes two, and there are two ids
		return &tune.ConfigError{Field: "Limits.MaxID", Reason: fmt.Sprintf(
			"%d leaves no room in events of MaxEvent, %d bytes; raise that, or lower MaxID", l.MaxID, l.MaxEvent,
		)}
	case l.SoftLimit < 0:
		return &tune.ConfigError{Field: "Limits.SoftLimit", Reason: "must not be negative"}
	case l.LowWater < 0 || l.LowWater > l.SoftLimit:
		return &tune.ConfigError{Field: "Limits.LowWater", Reason: "must lie between 0 and SoftLimit"}
	case l.HardLimit < l.SoftLimit:
		return &tune.ConfigError{Field: "Limits.HardLimit", Reason: "must not be below SoftLimit"}
	case l.HardLimit > maxPayload:
		return &tune.ConfigError{Field: "Limits.HardLimit", Reason: "must not exceed 1 GiB"}
	case l.CloseTimeout < 0:
		return &tune.ConfigError{Field: "Limits.CloseTimeout", Reason: "must not be negative"}
	case l.MessageBatchTimeout > time.Second:
		return &tune.ConfigError{Field: "Limits.MessageBatchTimeout", Reason: "must not exceed 1s"}
	}
	return nil
}

// CheckRuns returns a *tune.ConfigError unless a run's end finds room behind the largest event: a
// cancelled run waits for none. l has its defaults already.
func (l *Limits) CheckRuns() error {
	// What ends a run may use the hard limit twice, and was let in behind so much:
	if need := (l.SoftLimit+l.MaxEvent+frame.MaxHeader)/2 + 1; l.HardLimit < need {
		return &tune.ConfigError{Field: "Limits.HardLimit", Reason: fmt.Sprintf(
			"%d leaves no room for a run's end behind an event of MaxEvent, %d bytes; raise it to %d, or lower MaxEvent or SoftLimit",
			l.HardLimit, l.MaxEvent, need,
		)}
	}
	return nil
}

// Tuning is what l, which has its defaults, says of what may change while connections are open.
func (l *Limits) Tuning() tune.Tuning {
	t := tune.Default()
	t.MessageBatchSize, t.MessageBatchTimeout, t.MessageBatchBytes = l.MessageBatchSize, l.MessageBatchTimeout, l.MessageBatchBytes
	t.SoftLimit, t.LowWater, t.HardLimit = l.SoftLimit, l.LowWater, l.HardLimit
	return t
}
