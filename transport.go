package agloop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/memmon"
)

// Transport keeps connections to one or several servers and runs agents over them. A
// connection that ends is dialled again. All methods may be called from any goroutine.
//
// Besides its loops and its PerformanceManager a transport has one goroutine for each
// connection that is being dialled or waits to be, and none for those that are up.
type Transport struct {
	// Immutable.
	cfg       TransportConfig
	log       *slog.Logger
	backoff   backoff
	slots     []*slot
	remotes   []*remote
	perf      *PerformanceManager
	newEngine func(loops int, ledger *memmon.Ledger, log *slog.Logger) (*loop.Engine, error) // makes one

	// Any goroutine.
	handlers  atomic.Pointer[[]*eventHandler] // replaced under mu
	eventsIn  atomic.Uint64
	eventsOut atomic.Uint64
	panics    atomic.Uint64
	unclaimed atomic.Uint64
	perfMu    sync.Mutex // held while perf starts or stops; before mu

	// Any goroutine, under mu.
	mu        sync.Mutex
	state     transportState
	lifetime  *lifetime // from the last Start
	pool      pool
	eventLink *link         // carries SendEvent
	arrival   chan struct{} // closed when a connection comes up, then replaced
	counts    transportCounts
}

type transportState uint8

const (
	transportIdle transportState = iota
	transportRunning
	transportFailing // Start found nobody and clears up
	transportStopped
)

// lifetime is the time from a Start to its end.
type lifetime struct {
	// Immutable.
	engine   *loop.Engine
	endpoint *loop.Endpoint  // of every connection
	ctx      context.Context // of everything dialled
	cancel   context.CancelFunc
	up       chan struct{} // closed when the first connection is up
	allTried chan struct{} // closed when every slot has been tried once
	gone     chan struct{} // closed when nothing is left

	// Any goroutine, under Transport.mu.
	isUp    bool
	untried int // slots whose first attempt goes on
	alive   int // slots that are connected or being dialled
}

// NewTransport returns a transport that has opened nothing yet. Errors: a
// *ConfigError naming the field, ErrTLS for a wss URL.
func NewTransport(config TransportConfig) (*Transport, error) {
	cfg, err := config.parse()
	if err != nil {
		return nil, err
	}
	if err := event.Pretouch(); err != nil {
		return nil, err
	}
	t := &Transport{
		cfg:       cfg,
		log:       cfg.Client.Logger,
		backoff:   backoff{min: cfg.ReconnectMin, max: cfg.ReconnectMax, random: rand.Int64N},
		newEngine: loop.NewEngine,
		arrival:   make(chan struct{}),
	}
	for _, url := range cfg.URLs {
		t.remotes = append(t.remotes, newRemote(url))
	}
	t.pool.remotes = t.remotes
	for range cfg.ConnectionsPerURL {
		for _, o := range t.remotes {
			t.slots = append(t.slots, &slot{transport: t, remote: o})
		}
	}
	if err := t.initPerformance(); err != nil {
		return nil, err
	}
	return t, nil
}

// Start dials every connection and returns when the first is up; the others are still
// being dialled then, for as long as it takes. When ctx has a deadline, Start waits
// for a server that is not there yet until it passes; without one it
// fails as soon as each connection has been tried once. After a failure nothing is left
// running and Start may be called again.
//
// Errors: the last of each URL's dialling, with ctx's error when that ended it;
// ErrTransportStarted; ErrTransportClosed after Stop.
func (t *Transport) Start(ctx context.Context) error {
	life, err := t.beginLifetime(ctx)
	if err != nil {
		return err
	}
	tried := life.allTried
	if _, bounded := ctx.Deadline(); bounded {
		tried = nil
	}
	var cause error
	select {
	case <-life.up:
	case <-tried:
	case <-life.ctx.Done(): // Stop
		return ErrTransportClosed
	case <-ctx.Done():
		cause = ctx.Err()
	}
	t.mu.Lock()
	if life.isUp {
		t.mu.Unlock()
		t.startPerformance(life)
		return nil
	}
	if t.state == transportRunning {
		t.state = transportFailing
	}
	err = t.unreachableError(cause)
	t.mu.Unlock()
	stuck := t.endLifetime(life)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.state == transportStopped: // meanwhile
	case stuck != nil:
		t.state = transportStopped
	default:
		t.state = transportIdle
	}
	return joinErrors(err, stuck)
}

// begin starts dialling.
func (t *Transport) beginLifetime(ctx context.Context) (*lifetime, error) {
	wanted := t.perf.Tuning() // the manager locks itself before us
	t.mu.Lock()
	defer t.mu.Unlock()
	switch t.state {
	case transportRunning, transportFailing:
		return nil, ErrTransportStarted
	case transportStopped:
		return nil, ErrTransportClosed
	}
	engine, err := t.newEngine(t.cfg.Loops, t.perf.ledger, t.log)
	if err != nil {
		return nil, err
	}
	life := &lifetime{
		engine:   engine,
		endpoint: engine.NewEndpoint(loop.EndpointConfig{Handler: linkHandler{}, Limits: t.cfg.Client.Limits, Log: t.log}),
		up:       make(chan struct{}), allTried: make(chan struct{}), gone: make(chan struct{}),
		untried: len(t.slots), alive: len(t.slots),
	}
	life.endpoint.Tune(wanted)
	// What Start's context carries is for dialling; its end is for Start alone.
	life.ctx, life.cancel = context.WithCancel(context.WithoutCancel(ctx))
	t.state, t.lifetime = transportRunning, life
	for _, s := range t.slots {
		s.failures, s.dialled, s.tried = 0, false, false
		go s.dialUntilUp(life, nil)
	}
	return life, nil
}

// Stop ends the transport for good: dialling is given up, every connection is closed with
// 1000, active runs end with ErrClientClosed and waiting ones with ErrTransportClosed. It
// returns when all connections are gone, which takes at most Client.Limits.CloseTimeout. When
// one is not a second after that, as with a Client.Dial that ignores its context, what is left is
// cut and the error says so. Further calls wait in the same way. Event handlers may call it.
func (t *Transport) Stop() error {
	t.mu.Lock()
	t.state = transportStopped
	life := t.lifetime
	t.mu.Unlock()
	t.stopPerformance()
	if life == nil {
		return nil
	}
	return t.endLifetime(life)
}

// end ends an lifetime and waits until nothing is left of it.
func (t *Transport) endLifetime(life *lifetime) error {
	t.mu.Lock()
	life.cancel()
	t.pool.closeWaiters()
	t.mu.Unlock()
	for _, l := range t.links() {
		_ = l.client.Close()
	}
	bound := t.cfg.Client.Limits.CloseTimeout + time.Second
	timer := time.NewTimer(bound)
	defer timer.Stop()
	var stuck error
	select {
	case <-life.gone:
	case <-timer.C:
		t.mu.Lock()
		stuck = fmt.Errorf("agloop: connections not gone after %v: %d", bound, life.alive)
		t.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	return joinErrors(stuck, life.engine.Stop(ctx))
}

// links are the connections up now.
func (t *Transport) links() (list []*link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.slots {
		if s.link != nil {
			list = append(list, s.link)
		}
	}
	return list
}

// retire notes that a slot is at its end. Under mu.
func (life *lifetime) slotEnded() {
	if life.alive--; life.alive == 0 {
		close(life.gone)
	}
}

// unreachable says why no connection came up. Under mu.
func (t *Transport) unreachableError(cause error) error {
	errs := []error{errors.New("agloop: no connection came up"), cause}
	for _, o := range t.remotes {
		if o.lastErr != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.name, o.lastErr))
		}
	}
	return joinErrors(errs...)
}

// AddEventHandler has f called with every event of every run of the transport, before Run
// yields it, in the goroutine that runs. The events of one run come in order, those of
// several runs at once; several handlers are called in the order they were added. f may keep
// the event but must not change it. A panic in f is recovered, counted and logged. remove
// ends it; f may still be in a call then.
func (t *Transport) AddEventHandler(f func(agui.Event)) (remove func()) {
	h := &eventHandler{f}
	t.editHandlers(func(list []*eventHandler) []*eventHandler { return append(list, h) })
	return func() {
		t.editHandlers(func(list []*eventHandler) (rest []*eventHandler) {
			for _, other := range list {
				if other != h {
					rest = append(rest, other)
				}
			}
			return rest
		})
	}
}

// IsConnected tells whether at least one connection is up.
func (t *Transport) IsConnected() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pool.up > 0
}
