package agloop

import (
	"errors"
	"fmt"
	"time"

	"github.com/agloop/agloop/codec/handshake"
)

// TransportConfig says what a Transport connects to. Start from DefaultTransportConfig, or leave
// what you do not need at zero, which is the default given beside it.
type TransportConfig struct {
	// URLs are the servers, "ws://host[:port][/path][?query]". All are connected to at once and
	// share the runs: they should serve the same agent.
	URLs []string
	// ConnectionsPerURL is how many connections are kept to each of URLs, and so how many runs each
	// serves at a time. 0 is 1. All together they may not be more than
	// PerformanceConfig.MaxConcurrentConnections.
	ConnectionsPerURL int
	// PerformanceConfig is what the PerformanceManager begins with; its batch window replaces that
	// of Client.Limits. The zero value is DefaultPerformanceConfig with the window of Client.Limits
	// and memory by the limits of the process.
	PerformanceConfig PerformanceConfig
	// Client is how each connection is dialled. Its Handler must be nil. A panic in its Auth, Proxy
	// or Dial is recovered and logged, and fails the attempt, as runtime.Goexit does.
	Client ClientConfig
	// Loops is the number of event loops, which the transport has to itself. 0 is one less than
	// GOMAXPROCS, at least 1.
	Loops int
	// DialTimeout bounds one attempt: Client.Auth, name, TCP connection, and the opening handshake,
	// a proxy's part of it included, which Client.Limits.HandshakeTimeout bounds too. 0 is 10 s.
	DialTimeout time.Duration
	// ReconnectMin and ReconnectMax bound the pause before a connection is dialled again: after n
	// failures in a row it is uniform between 0 and min(ReconnectMax, ReconnectMin·2ⁿ). A server's
	// Retry-After, up to 5 min, comes before that pause. 0 is 100 ms and 30 s.
	ReconnectMin, ReconnectMax time.Duration
}

// DefaultTransportConfig is one connection to a server on this machine, at the port and path of the
// examples, with the default of everything else.
func DefaultTransportConfig() TransportConfig {
	return TransportConfig{
		URLs:              []string{"ws://localhost:8080/ws"},
		ConnectionsPerURL: 1,
		PerformanceConfig: DefaultPerformanceConfig(),
		DialTimeout:       10 * time.Second,
		ReconnectMin:      100 * time.Millisecond,
		ReconnectMax:      30 * time.Second,
	}
}

// parse returns c with its zeros replaced, or what is wrong with it.
func (c TransportConfig) parse() (_ TransportConfig, err error) {
	if c.Client.Limits, err = clientLimits(c.Client.Limits, true); err != nil {
		return c, err
	}
	def := DefaultTransportConfig()
	if c.ConnectionsPerURL == 0 {
		c.ConnectionsPerURL = def.ConnectionsPerURL
	}
	if c.PerformanceConfig == (PerformanceConfig{}) {
		c.PerformanceConfig = c.impliedPerformance()
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = def.DialTimeout
	}
	if c.ReconnectMin == 0 {
		c.ReconnectMin = def.ReconnectMin
	}
	if c.ReconnectMax == 0 {
		c.ReconnectMax = max(def.ReconnectMax, c.ReconnectMin)
	}
	if c.Client.Resume, err = c.Client.Resume.withDefaults(); err != nil {
		return c, err
	}
	c.Client.setDefaults()
	return c, c.check()
}

// impliedPerformance is for a config that says nothing of performance: as many connections as it
// names, the window of its limits, and memory by the limits of the process.
func (c *TransportConfig) impliedPerformance() PerformanceConfig {
	limits := &c.Client.Limits
	p := DefaultPerformanceConfig()
	p.MaxConcurrentConnections = max(p.MaxConcurrentConnections, len(c.URLs)*c.ConnectionsPerURL)
	p.MessageBatchSize = max(1, limits.MessageBatchSize)
	p.MessageBatchTimeout = max(0, limits.MessageBatchTimeout)
	p.MaxMemoryUsage = 0
	return p
}

// check returns what is wrong with a config that has its defaults.
func (c *TransportConfig) check() error {
	if len(c.URLs) == 0 {
		return &ConfigError{Field: "URLs", Reason: "must name a server"}
	}
	for i, rawURL := range c.URLs {
		u, err := parseURL(rawURL, "ws", "wss")
		if err != nil {
			reason := err.Error()
			if ce, ok := errors.AsType[*ConfigError](err); ok {
				reason = ce.Reason
			}
			return &ConfigError{Field: fmt.Sprintf("URLs[%d]", i), Reason: reason}
		}
		// What cannot be sent in a request would fail at every attempt.
		req := c.Client.request(u)
		req.Key = handshake.NewDialKey()
		if _, err := handshake.AppendDialRequest(nil, req); err != nil {
			return &ConfigError{Field: "Client", Reason: err.Error()}
		}
	}
	if err := c.PerformanceConfig.Validate(); err != nil {
		return err
	}
	most := c.PerformanceConfig.MaxConcurrentConnections
	switch {
	case c.ConnectionsPerURL < 0:
		return &ConfigError{Field: "ConnectionsPerURL", Reason: "must not be negative"}
	case most > 0 && c.ConnectionsPerURL > most/len(c.URLs):
		return &ConfigError{
			Field:  "ConnectionsPerURL",
			Reason: "makes more connections than PerformanceConfig.MaxConcurrentConnections allows",
		}
	case c.Loops < 0 || c.Loops > 256:
		return &ConfigError{Field: "Loops", Reason: "must lie between 0 and 256"}
	case c.DialTimeout < 0:
		return &ConfigError{Field: "DialTimeout", Reason: "must not be negative"}
	case c.ReconnectMin < 0:
		return &ConfigError{Field: "ReconnectMin", Reason: "must not be negative"}
	case c.ReconnectMax < c.ReconnectMin:
		return &ConfigError{Field: "ReconnectMax", Reason: "must not be below ReconnectMin"}
	case c.Client.Handler != nil:
		return &ConfigError{Field: "Client.Handler", Reason: "excludes Run"}
	case c.Client.MaxPending < 0:
		return &ConfigError{Field: "Client.MaxPending", Reason: "must not be negative"}
	}
	return nil
}
