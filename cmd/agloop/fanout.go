package main

import (
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/agloop/agloop/server"
)

// fanoutServer sends every message to all connections, the sender included.
type fanoutServer struct {
	server.NopHandler

	mu    sync.RWMutex // locked by several loops
	conns map[*server.Conn]struct{}
}

func (s *fanoutServer) OnOpen(c *server.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
}

func (s *fanoutServer) OnMessage(_ *server.Conn, op server.Opcode, payload []byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for c := range s.conns {
		c.Send(op, payload)
	}
}

func (s *fanoutServer) OnClose(c *server.Conn, _ *server.CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func fanout(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("fanout", stderr)
	at := listenFlags(flags, "127.0.0.1:9003")
	loops := flags.Int("loops", 0, "`number` of event loops; 0 lets the library choose")
	if code, ok := parse(flags, args); !ok {
		return code
	}
	spareProcessor(*loops)
	cfg := server.Config{
		Handler: &fanoutServer{conns: map[*server.Conn]struct{}{}},
		Path:    server.AnyPath,
		Origins: []string{"*"},
		Loops:   *loops,
		Limits:  echoLimits(),
	}
	if err := at.secure(&cfg); err != nil {
		return fail(stderr, "fanout", err)
	}
	srv := server.New(cfg)
	return serve("fanout", at, srv, stderr, func(a net.Addr) {
		fmt.Fprintf(stdout, "agloop fanout: %s://%s/\n", at.scheme(), a)
	})
}
