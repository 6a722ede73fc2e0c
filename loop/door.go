package loop

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/metrics"
	"golang.org/x/time/rate"
)

// AnyPath as DoorConfig.Path upgrades requests for every path.
const AnyPath = "*"

// DoorConfig says whom a server lets in, and what its connections are for.
type DoorConfig struct {
	Handler Handler
	// Limits must come from Limits.WithDefaults.
	Limits    Limits
	Log       *slog.Logger
	Head      handshake.HeadLimits
	Path      string // requests for other paths go to HTTP; AnyPath takes all
	Origins   handshake.OriginPolicy
	Protocols []string // in order of preference
	// Authorize judges a flawless handshake on the loop; what it returns becomes the connection's
	// User. An *handshake.UpgradeError is answered as it says, other errors with 403.
	Authorize func(*handshake.Request) (user any, err error)
	// MaxConnections bounds the connections; 0 or more than the descriptors allow is what they
	// allow.
	MaxConnections int
	// Rates must come from Rates.WithDefaults.
	Rates Rates
	// TooBig is a text that a peer whose message is larger than Limits.MaxMessage gets before the
	// close frame. nil for none.
	TooBig []byte
	// HTTP receives connections that ask for no WebSocket, in a goroutine of their own, with the
	// bytes read so far still to be read. The connection keeps its slot until it is closed.
	HTTP func(net.Conn)
}

// Door lets connections in: it accepts them, gives them a slot and a loop, judges their handshakes,
// and refuses the others. Those that are in belong to its Endpoint.
type Door struct {
	Endpoint

	// Immutable.
	slots     *Slots
	head      handshake.HeadLimits
	path      string
	origins   handshake.OriginPolicy
	protocols []string
	authorize func(*handshake.Request) (any, error)
	http      func(net.Conn)
	accepts   *rate.Limiter
	networks  networks

	// Any goroutine.
	Counters      metrics.Counters // of accepting; loops have their own
	shedding      atomic.Bool      // memory is short: new connections are answered 503
	refused       refusals
	refusalTokens chan struct{} // a token for each connection whose request is read to be refused
	quit          chan struct{} // closed by StopAccepting
	quitOnce      sync.Once
}

// NewDoor makes a server's door.
func (e *Engine) NewDoor(cfg DoorConfig) *Door {
	rates := &cfg.Rates
	d := &Door{
		slots: newSlots(cfg.MaxConnections, cfg.Log), head: cfg.Head, path: cfg.Path,
		origins: cfg.Origins, protocols: cfg.Protocols, authorize: cfg.Authorize, http: cfg.HTTP,
		accepts:       limiter(rates.Accepts, rates.AcceptsBurst),
		networks:      networks{perSecond: rates.AcceptsPerIP, burst: rates.AcceptsPerIPBurst},
		refusalTokens: make(chan struct{}, refusalReserve), quit: make(chan struct{}),
	}
	d.init(e, EndpointConfig{Handler: cfg.Handler, Limits: cfg.Limits, Log: cfg.Log})
	d.door, d.rates, d.tooBig = d, cfg.Rates, cfg.TooBig
	return d
}

// Slots are the connections of this door.
func (d *Door) Slots() *Slots { return d.slots }

// SetMaxConnections changes how many connections may be open, up to what the descriptors allow; 0
// is that. Connections beyond a smaller number stay until they end. Any goroutine.
func (d *Door) SetMaxConnections(n int) { d.slots.setCap(n) }

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

// newSlots makes a slot for every connection that the descriptors of the process allow, of which
// want may be taken. Of the table only what is used is made.
func newSlots(want int, log *slog.Logger) *Slots {
	allowed := fileLimit()
	allowed -= min(fileReserve, allowed/2)
	if want > allowed {
		log.Warn("agloop: fewer descriptors than MaxConnections", "max_connections", want, "allowed", allowed)
	}
	s := newSlotTable(allowed)
	s.setCap(want)
	return s
}
