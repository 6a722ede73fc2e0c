package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/server"
)

// random decides for what has that name.
func random(seed uint64, name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // it never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// errorsOnly is the log of a storm, in which connections that break are nothing to speak of.
var errorsOnly = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))

// How long a peer may be silent: short, for a storm is over soon, and long enough for a machine that
// is busy with other things. A handshake has no reason to hurry.
const (
	pingAfter  = 300 * time.Millisecond
	pongWithin = 1200 * time.Millisecond
	greeting   = 30 * time.Second
)

// hostConfig is the server of a storm. Logs fold early and queues are full soon, more or less so by the
// seed.
func hostConfig(a *teller) server.Config {
	rnd := random(a.seed, "host")
	return server.Config{
		Agent:  a,
		Logger: errorsOnly,
		Limits: server.Limits{
			PingInterval: pingAfter, PongTimeout: pongWithin, HandshakeTimeout: greeting,
			SoftLimit: 2 << 10 << rnd.IntN(6),
		},
		Runs: server.RunsConfig{
			WindowEvents: 8 << rnd.IntN(5),
			// However long a client takes to come back: that says more about the machine.
			Grace: -1, Retention: 10 * time.Minute,
		},
		Authorize: func(_ context.Context, req *server.Request) (server.Grant, error) {
			return server.Grant{Principal: server.Principal{Key: req.Header.Get("Authorization")}}, nil
		},
	}
}

// serve starts a server on a listener. It ends with stop.
func serve(cfg server.Config, ln net.Listener) (srv *server.Server, stop func() error) {
	srv = server.New(cfg)
	served := make(chan error, 1)
	go func() { served <- srv.ServeListener(ln) }()
	return srv, func() error {
		_ = srv.Close()
		if err := <-served; err != server.ErrServerClosed {
			return fmt.Errorf("the server ended with %w", err)
		}
		return nil
	}
}

// loopback is a listener on any port.
func loopback() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// identity is who a client is. Without a principal it is whose session it joins.
type identity struct{ principal, secret string }

// identityOf is that of the n-th client: every second one has a principal.
func identityOf(n int) identity {
	if n%2 == 0 {
		return identity{principal: fmt.Sprint("user", n)}
	}
	return identity{}
}

// socket is a client and its connections.
type socket struct {
	*client.Client
	who    identity
	opens  atomic.Int64 // connections there were
	opened atomic.Int64 // when the last one was there, in nanoseconds of Unix
}

// dial connects as somebody. edit may change the config; nil does not.
func dial(ctx context.Context, addr string, who identity, edit func(*client.Config)) (*socket, error) {
	s := &socket{who: who}
	cfg := client.Config{
		Logger: errorsOnly,
		Limits: client.Limits{PingInterval: pingAfter, PongTimeout: pongWithin, HandshakeTimeout: greeting},
		Resume: client.Resume{MinBackoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond, Secret: who.secret},
		OnState: func(now client.ConnState) {
			if now.Phase == client.ConnOpen {
				s.opened.Store(time.Now().UnixNano())
				s.opens.Add(1)
			}
		},
	}
	if who.principal != "" {
		cfg.Header = http.Header{"Authorization": {who.principal}}
	}
	if edit != nil {
		edit(&cfg)
	}
	var err error
	if s.Client, err = client.Dial(ctx, "ws://"+addr+"/ws", cfg); err != nil {
		return nil, err
	}
	if who.principal == "" {
		s.who.secret = s.Secret()
	}
	return s, nil
}

// reconnects is how often the client has connected again.
func (s *socket) reconnects() int { return max(int(s.opens.Load())-1, 0) }

// linger waits, or returns false when ctx ends first.
func linger(ctx context.Context, wait time.Duration) bool {
	select {
	case <-time.After(wait):
		return true
	case <-ctx.Done():
		return false
	}
}
