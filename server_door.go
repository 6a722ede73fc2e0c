package agloop

import (
	"crypto/tls"
	"net"
	"net/http"

	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

// ServeHTTP lets in a request that a server of net/http has read, and takes its connection onto a
// loop; so a Server is a handler for any mux, behind any middleware. The path does not matter: the
// mux has chosen it. http.Server.Shutdown knows nothing of these connections: call Shutdown in a
// function given to RegisterOnShutdown, and wait for it. A request that asks for no WebSocket is
// answered 426, one that comes while the server cannot run or shuts down, 503.
//
// Connections of TLS are taken over from listeners that Listener made. Of others, such as those of
// http.Server.ListenAndServeTLS, goroutines carry the bytes, at two goroutines, two descriptors and 64
// KiB each, which the log says once. Connections of listeners that wrap them in other ways cannot be
// taken over.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.ensureServing(); err != nil {
		if err != ErrServerClosed {
			s.log.Error("agloop: a mounted server cannot run", "err", err)
		}
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the server does not run", http.StatusServiceUnavailable)
		return
	}
	if !handshake.AsksForWebSocket(r.Header) && s.serveBinding(w, r, true) {
		return
	}
	s.door.ServeHTTP(w, r)
}

// Listener wraps a listener of TCP or unix sockets for a host's own http.Server, in which this server is
// mounted: what it accepts speaks TLS by cfg, as that of tls.NewListener, and can move onto a loop. Where
// NextProtos is empty, h2 and http/1.1 are offered; see ServerConfig.TLS for what else is set.
func (s *Server) Listener(ln net.Listener, cfg *tls.Config) net.Listener {
	return loop.NewTLSListener(ln, loop.NewTLSConfig(cfg, true))
}

// ensureServing starts the server unless it runs. It returns why it does not run.
func (s *Server) ensureServing() error {
	if s.configErr != nil {
		return s.configErr
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ensureRunning()
}

// ensureRunning is ensureServing for a valid config. Under mu.
func (s *Server) ensureRunning() error {
	switch s.state {
	case serverStopping:
		return ErrServerClosed
	case serverIdle:
		if s.startErr = s.start(); s.startErr != nil {
			return s.startErr
		}
		s.state = serverRunning
	}
	return nil
}

// doorConfig is the config of the door.
func (s *Server) doorConfig() loop.DoorConfig {
	cfg := loop.DoorConfig{
		Handler:       s.handler(),
		Limits:        s.cfg.Limits,
		Log:           s.log,
		Path:          s.cfg.Path,
		Origins:       handshake.OriginPolicy{Allowed: s.cfg.Origins},
		Hosts:         handshake.HostPolicy{Allowed: s.cfg.Hosts},
		Protocols:     s.cfg.Protocols,
		Proxies:       s.cfg.TrustedProxies,
		ProxyProtocol: s.cfg.ProxyProtocol,
		Authorize:     s.cfg.Authorize,
		BaseContext:   s.cfg.BaseContext,
		Notes:         s.cfg.Hooks.ofConns(),
		Quotas:        s.cfg.Quotas,
		Rates:         s.cfg.Rates,
		HTTP:          s.http.take,
		TrimTLS:       s.cfg.TrimTLS,
		Compression:   s.cfg.Compression,
		Feed:          topicFeed{s.topics},
	}
	cfg.Quotas.Conns = s.cfg.maxConnections()
	if s.cfg.TLS != nil {
		cfg.TLS = loop.NewTLSConfig(s.cfg.TLS, s.cfg.HTTP != nil || s.servesBinding())
	}
	if s.cfg.Agent != nil {
		cfg.Compression.Plain = plainControls(s.cfg.Compression.Plain)
		cfg.Later = []string{control.ProtocolProto, control.Protocol}
		tooLarge := s.tooLarge()
		cfg.TooBig = run.Refusal(tooLarge.code, tooLarge.message)
	}
	return cfg
}

// plainControls is also, and has the controls of agloop.v1 go plain: they resemble no event.
func plainControls(also func([]byte) bool) func([]byte) bool {
	return func(message []byte) bool {
		return control.IsControl(message) || also != nil && also(message)
	}
}

// handler is the Handler of its connections.
func (s *Server) handler() Handler {
	handler := s.cfg.Handler
	if handler == nil {
		handler = agentHandler{s}
	}
	if s.cfg.Hooks.ofConns() || s.cfg.Authorize != nil {
		handler = watchedHandler{handler, s}
	}
	return handler
}

// start starts the loops and what watches them. Under mu.
func (s *Server) start() error {
	if s.cfg.Agent != nil {
		if err := event.Pretouch(); err != nil {
			return err
		}
	}
	if err := s.startLoops(s.cfg.Loops); err != nil {
		return err
	}
	s.http.start()
	s.performance.start()
	return nil
}
