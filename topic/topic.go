// Package topic is publish and subscribe: a message that is published to a topic goes to whoever has
// subscribed to it.
//
// It is a building block of agloop: its API may change in any minor release.
//
// A Hub holds the topics of a process. It knows subscribers by an interface, and no sockets. Subscribers
// that one goroutine serves form a Group, such as the connections of one loop. To publish is to hand the
// message to each group that has subscribers, whatever their number; the goroutines of the groups then
// deliver it, a few subscribers at a time, with their other work in between.
//
// The messages of a topic reach each of its subscribers in the order in which they were published. A
// message is held once, however many it goes to.
package topic

import (
	"time"

	"github.com/agloop/agloop/codec/frame"
)

// Subscriber is somebody to whom messages are delivered. Two values that are equal are one subscriber.
type Subscriber interface {
	// Group is who serves the subscriber. It never changes.
	Group() Group
	// Principal is whose the subscriber is; "" is nobody's.
	Principal() string
	// Deliver takes messages of one topic. Where next is not nil they are numbered from first on, and the
	// subscriber has had those before *next: it takes the others and leaves in *next the number behind
	// the last. Several goroutines may call Deliver at once, and next is read and written in it alone, so
	// it needs a lock of the subscriber's. It must neither wait nor call the Hub, and the messages are
	// valid until it returns, or as long as it retains them.
	Deliver(messages []frame.Prepared, first uint64, next *uint64, slow Slow) Result
}

// Group is what serves some of the subscribers. Groups are compared.
type Group interface {
	// Serve has step called in the goroutine of the group, which one at a time calls, until it returns
	// false. Other work of that goroutine may come in between. Serve must not call step itself.
	Serve(step func() (more bool))
}

// Result is what a subscriber did with messages.
type Result uint8

const (
	// Took: they are on their way, or nobody is there any more.
	Took Result = iota
	// Behind: under SlowLatest and SlowCoalesce, the subscriber has no room and took none of them. The
	// Hub keeps what the policy says until Room is called.
	Behind
)

// Slow is what becomes of messages for a subscriber who does not keep up.
type Slow uint8

const (
	// SlowLimits leaves it to the subscriber: a connection queues up to its hard limit and is cut there.
	SlowLimits Slow = iota
	// SlowCut cuts a connection for which more waits than its soft limit.
	SlowCut
	// SlowLatest keeps the newest message alone while the subscriber has something unsent.
	SlowLatest
	// SlowCoalesce keeps the newest message of each key then, in the order in which those came.
	SlowCoalesce
)

// Config is what holds for one topic. The zero value is a topic without history, whose messages leave at
// once and whose slow subscribers follow their own limits.
type Config struct {
	// History is how many messages are kept for those who come later; 0 is none.
	History int
	// HistoryBytes is how many bytes those may have. 0 is 1 MiB; negative is no limit.
	HistoryBytes int
	// HistoryFor is how long a message is kept. 0 is 5 min; negative is as long as there is room.
	HistoryFor time.Duration
	// Slow is what becomes of messages for subscribers who do not keep up.
	Slow Slow
	// Key is what SlowCoalesce tells messages apart by. It is called when a message is published. At most
	// 256 keys are kept for one subscriber, who is then given those.
	Key func(payload []byte) string
	// Interval gathers what is published meanwhile, so that it leaves in one write. 0 gathers nothing.
	Interval time.Duration
}

const (
	defaultHistoryBytes = 1 << 20
	defaultHistoryFor   = 5 * time.Minute
)

// withDefaults returns c with every zero replaced by its default.
func (c Config) withDefaults() Config {
	if c.HistoryBytes == 0 {
		c.HistoryBytes = defaultHistoryBytes
	}
	if c.HistoryFor == 0 {
		c.HistoryFor = defaultHistoryFor
	}
	if c.Slow == SlowCoalesce && c.Key == nil {
		c.Slow = SlowLatest
	}
	return c
}

// Cursor is a place in a topic: behind the message that has it. The zero Cursor is before all.
type Cursor struct {
	Epoch  uint64 // of the Hub
	Offset uint64 // number of the message; the first has 1
}
