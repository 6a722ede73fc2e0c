package loop

import (
	"log/slog"
	"sync/atomic"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/tune"
)

// EndpointConfig says what connections are for.
type EndpointConfig struct {
	Handler Handler
	// Limits must come from Limits.WithDefaults.
	Limits Limits
	Log    *slog.Logger
	// TrimTLS gives back what crypto/tls keeps of the last record while a connection rests, see CheckTrimTLS.
	TrimTLS bool
	// Compression: the zero value compresses nothing.
	Compression Compression
	// Feed delivers prepared messages to connections; nil: nobody does. Of a server alone.
	Feed Feed
}

// Endpoint is what connections are for: who handles their messages, within which limits, and how
// they are tuned. A server has one behind its Door, a client one behind its Dialer.
type Endpoint struct {
	// Immutable.
	eng         *Engine
	handler     Handler
	limits      Limits
	frames      frame.Limits
	log         *slog.Logger
	door        *Door        // nil for one that dials
	masks       *frame.Masks // nil for a server, whose frames have none
	rates       Rates        // of a server
	tooBig      []byte       // of a server, see DoorConfig
	trimTLS     bool         // see EndpointConfig
	compression Compression
	deflated    frame.Limits // frames, where messages may be compressed
	feed        Feed         // nil: none

	// Any goroutine.
	tuned   atomic.Pointer[tune.Tuning]
	copying atomic.Bool   // messages are delivered as copies
	shed    atomic.Uint64 // connections cut for the memory they held
}

// Dialer makes the connections of a client, see Dial. They belong to its Endpoint.
type Dialer struct{ Endpoint }

// NewDialer makes a dialer.
func (e *Engine) NewDialer(cfg EndpointConfig) *Dialer {
	p := &Dialer{Endpoint{masks: new(frame.Masks)}}
	p.init(e, cfg)
	return p
}

func (p *Endpoint) init(e *Engine, cfg EndpointConfig) {
	if cfg.Limits.HardLimit == 0 {
		panic("loop: Limits without WithDefaults")
	}
	p.eng, p.handler, p.limits, p.log = e, cfg.Handler, cfg.Limits, cfg.Log
	p.trimTLS, p.feed = cfg.TrimTLS, cfg.Feed
	p.frames = frame.Limits{
		MaxMessage: int64(p.limits.MaxMessage), MaxFragments: p.limits.MaxFragments, Server: p.masks == nil,
	}
	p.compression, p.deflated = cfg.Compression, p.frames
	p.deflated.Deflate = true
	p.tuned.Store(new(p.limits.Tuning()))
}

// Tuning is what holds now. Any goroutine.
func (p *Endpoint) Tuning() tune.Tuning { return *p.tuned.Load() }

// Tune replaces what holds, from the next message on, for every connection. What waits under an
// earlier window is looked at again at once. Any goroutine; t must make sense (see Limits).
func (p *Endpoint) Tune(t tune.Tuning) {
	p.tuned.Store(&t)
	if t.PlainOnly {
		p.eng.deflated.Reset()
	}
	p.eng.wakeAll()
}

// SetZeroCopy has messages delivered as slices of the read buffer, which is the default, or, when
// off, as copies that the handler may keep. Any goroutine.
func (p *Endpoint) SetZeroCopy(on bool) { p.copying.Store(!on) }

// Shed is the number of connections cut for the memory they held. Any goroutine.
func (p *Endpoint) Shed() uint64 { return p.shed.Load() }
