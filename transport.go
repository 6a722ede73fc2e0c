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

// Transport keeps connections to one or several servers and runs agents over them. A connection
// that ends is dialled again; a run of agloop.v1 goes on over the next. All methods may be called
// from any goroutine.
//
// Besides its loops and its PerformanceManager a transport has one goroutine for each connection
// that is being dialled or waits to be, and none for those that are up.
type Transport struct {
	// Immutable.
	cfg       TransportConfig
	log       *slog.Logger
	backoff   backoff
	slots     []*slot
	remotes   []*remote
	perf      *PerformanceManager
	newEngine func(loops int, ledger *memmon.Ledger, log *slog.Logger) (*loop.Engine, error)

	// Any goroutine.
	handlers  atomic.Pointer[[]*eventHandler] // replaced under mu
	eventsIn  atomic.Uint64
	eventsOut atomic.Uint64
	panics    atomic.Uint64
	unclaimed atomic.Uint64
	streams   streamCounts
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
	transportFailing // Start failed and ends what it began
	transportStopped
)

// lifetime is the time from a Start to its end.
type lifetime struct {
	// Immutable.
	engine   *loop.Engine
	dialer   *loop.Dialer    // of every connection
	ctx      context.Context // of everything dialled
	cancel   context.CancelFunc
	up       chan struct{} // closed when the first connection is up
	allTried chan struct{} // closed when every slot has been tried once
	gone     chan struct{} // closed when no slot is connected or dials any more

	// Any goroutine, under Transport.mu.
	isUp    bool // up is closed
	untried int  // slots whose first attempt goes on
	alive   int  // slots that are connected or being dialled
}

// NewTransport returns a transport that has opened nothing yet. Errors: a *ConfigError naming the
// field.
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
		for _, r := range t.remotes {
			t.slots = append(t.slots, &slot{transport: t, remote: r, mux: &mux{
				limit: cfg.Client.MaxPending, store: cfg.Client.Cursors, secret: cfg.Client.Resume.Secret,
			}})
		}
	}
	if err := t.initPerformance(); err != nil {
		return nil, err
	}
	return t, nil
}

// Start dials every connection and returns when the first is up; the others are still being dialled
// then, for as long as it takes. With a deadline of ctx, Start waits until then for a server that
// is not there yet; without one it fails as soon as each connection has been tried once. After a
// failure nothing is left running and Start may be called again.
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
		t.startPerformance()
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

// beginLifetime makes an engine and starts dialling.
func (t *Transport) beginLifetime(ctx context.Context) (*lifetime, error) {
	tuning := t.perf.Tuning() // before mu, as the manager takes them
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
		engine: engine,
		dialer: engine.NewDialer(loop.EndpointConfig{
			Handler: linkHandler{}, Limits: t.cfg.Client.Limits, Log: t.log,
		}),
		up: make(chan struct{}), allTried: make(chan struct{}), gone: make(chan struct{}),
		untried: len(t.slots), alive: len(t.slots),
	}
	life.dialer.Tune(tuning)
	// Dialling sees the values of Start's context, but goes on when that ends.
	life.ctx, life.cancel = context.WithCancel(context.WithoutCancel(ctx))
	t.state, t.lifetime = transportRunning, life
	for _, s := range t.slots {
		s.failures, s.dialled, s.tried = 0, false, false
		go s.dialUntilUp(life, nil)
	}
	return life, nil
}

// Stop ends the transport for good: dialling is given up, every connection is closed with 1000,
// active runs end with ErrClientClosed and waiting ones with ErrTransportClosed. It returns when
// all connections are gone, which takes at most Client.Limits.CloseTimeout. If one is not gone a
// second later, for example because Client.Dial ignores its context, what is left is cut and the
// error says so. Further calls wait in the same way. Event handlers may call it.
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

// endLifetime ends life and waits until nothing is left of it.
func (t *Transport) endLifetime(life *lifetime) error {
	t.mu.Lock()
	life.cancel()
	t.pool.closeWaiters()
	t.mu.Unlock()
	for _, s := range t.slots {
		s.mux.failAll(ErrClientClosed)
	}
	for _, l := range t.links() {
		l.close()
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

// slotEnded notes that a slot is neither connected nor dials any more. Under Transport.mu.
func (life *lifetime) slotEnded() {
	if life.alive--; life.alive == 0 {
		close(life.gone)
	}
}

// unreachableError says why no connection came up. cause is nil or what ended Start. Under mu.
func (t *Transport) unreachableError(cause error) error {
	errs := []error{errors.New("agloop: no connection came up"), cause}
	for _, r := range t.remotes {
		if r.lastErr != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, r.lastErr))
		}
	}
	return joinErrors(errs...)
}

// AddEventHandler makes every run of the transport call f with each event, before Run yields it and
// in the same goroutine. The events of one run come in order. Runs that go on at once call f at
// once. Several handlers are called in the order they were added. f may keep the event but must not
// change it. A panic in f is recovered, counted and logged. remove ends the calls; one that has
// begun may still go on.
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

// IsConnected reports whether at least one connection is up.
func (t *Transport) IsConnected() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pool.up > 0
}
