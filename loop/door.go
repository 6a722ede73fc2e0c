package loop

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/metrics"
	"golang.org/x/time/rate"
)

// AnyPath as DoorConfig.Path upgrades requests for every path.
const AnyPath = "*"

// DoorConfig is what a server wants of its connections.
type DoorConfig struct {
	Handler   Handler
	Limits    Limits
	Head      handshake.HeadLimits
	Path      string // requests for other paths go to HTTP; AnyPath takes all
	Origins   handshake.OriginPolicy
	Protocols []string // in order of preference
	// Authorize judges a flawless handshake on the loop; what it returns becomes the
	// connection's User. An *handshake.UpgradeError is answered as it says, other errors with 403.
	Authorize func(*handshake.Request) (user any, err error)
	// MaxConnections bounds the connections; 0 or more than the descriptors allow is
	// what they allow.
	MaxConnections int
	Rates          Rates
	// TooBig is a text that a peer whose message is larger than Limits.MaxMessage gets
	// before the close frame. nil for none.
	TooBig []byte
	// HTTP receives connections that ask for no WebSocket, in a goroutine of
	// their own, with the bytes read so far still to be read. The connection keeps its slot
	// until it is closed.
	HTTP func(net.Conn)
	Log  *slog.Logger
}

// Door is what all connections of one server, or of one dial, have in common.
type Door struct {
	// Immutable.
	eng     *Engine
	handler Handler
	limits  Limits
	frames  frame.Limits
	log     *slog.Logger

	// Immutable, of a server.
	slots     *Slots
	head      handshake.HeadLimits
	path      string
	origins   handshake.OriginPolicy
	protocols []string
	authorize func(*handshake.Request) (any, error)
	http      func(net.Conn)
	rates     Rates
	tooBig    []byte
	accepts   *rate.Limiter
	networks  networks

	// Immutable, of a client.
	masks *frame.Masks

	// Any goroutine.
	tuned    atomic.Pointer[Tuning]
	Counters metrics.Counters // of accepting; loops have their own
	copying  atomic.Bool      // messages are delivered as copies
	shedding atomic.Bool      // memory is short: new connections are answered 503

	refused       refusals
	refusalTokens chan struct{} // a token for each connection whose request is read to be refused
	quit          chan struct{} // closed by StopAccepting
	quitOnce      sync.Once
}

// NewDoor makes a server's door. The error names the setting at fault.
func (e *Engine) NewDoor(cfg DoorConfig) (*Door, error) {
	limits, err := cfg.Limits.WithDefaults()
	if err != nil {
		return nil, err
	}
	rates, err := cfg.Rates.WithDefaults(limits)
	if err != nil {
		return nil, err
	}
	if err := cfg.Origins.Validate(); err != nil {
		return nil, err
	}
	d := &Door{
		eng: e, handler: cfg.Handler, limits: limits, log: cfg.Log, frames: limits.frames(true),
		slots: newSlots(cfg.MaxConnections, cfg.Log), head: cfg.Head, path: cfg.Path,
		origins: cfg.Origins, protocols: cfg.Protocols, authorize: cfg.Authorize, http: cfg.HTTP,
		rates: rates, tooBig: cfg.TooBig, accepts: limiter(rates.Accepts, rates.AcceptsBurst),
		networks:      networks{perSecond: rates.AcceptsPerIP, burst: rates.AcceptsPerIPBurst},
		refusalTokens: make(chan struct{}, refusalReserve), quit: make(chan struct{}),
	}
	d.tuned.Store(new(limits.tuning()))
	return d, nil
}

// Slots are the connections of this door.
func (d *Door) Slots() *Slots { return d.slots }

const (
	refusalReserve = 32  // descriptors to refuse connections with after reading their request
	fileReserve    = 256 // descriptors left to the rest of the process, the refusals among them
)

// fileLimit is how many descriptors the process may have, at most 16 million.
func fileLimit() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	return int(min(r.Cur, 16<<20))
}

// newSlots makes a slot for every connection that the descriptors of the process allow,
// of which want may be taken. Of the table only what is used is made.
func newSlots(want int, log *slog.Logger) *Slots {
	allowed := fileLimit()
	allowed -= min(fileReserve, allowed/2)
	if want > allowed {
		log.Warn("agloop: fewer descriptors than MaxConnections", "max_connections", want, "allowed", allowed)
	}
	s := NewSlots(allowed)
	s.SetCap(want)
	return s
}
