package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/agloop/agloop/server"
)

// drainTimeout bounds a graceful shutdown: runs in flight end as cancelled and
// what waits for the peers is sent.
const drainTimeout = 10 * time.Second

// serve runs srv on addr until SIGINT or SIGTERM and then shuts it down. A second
// signal ends the process at once. ready is called with the address when the server has
// started, before the first connection is taken.
func serve(name, addr string, srv *server.Server, stderr io.Writer, ready func(net.Addr)) int {
	// The kernel's keepalive is redundant: the library pings silent peers.
	lc := net.ListenConfig{KeepAlive: -1}
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return fail(stderr, name, err)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	served := make(chan error, 1)
	go func() {
		served <- srv.ServeListener(&readyListener{Listener: ln, ready: func() { ready(ln.Addr()) }})
	}()

	select {
	case err := <-served:
		return fail(stderr, name, err)
	case <-signals:
	}
	go func() {
		<-signals
		fmt.Fprintf(stderr, "agloop %s: second signal, not waiting any longer\n", name)
		os.Exit(exitFailed)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		srv.Close()
		return fail(stderr, name, fmt.Errorf("shutdown: %w", err))
	}
	<-served
	return exitOK
}

// readyListener calls ready when it is first asked for a connection: the server has then
// started, and has taken none.
type readyListener struct {
	net.Listener
	ready func()
	once  sync.Once
}

func (l *readyListener) Accept() (net.Conn, error) {
	l.once.Do(l.ready)
	return l.Listener.Accept()
}

// spareProcessor gives the scheduler one P more than there are loops. With as many
// busy loops as Ps, the scheduler's monitor takes the P away in every system call
// that lasts longer than 20 µs, and the loop waits to get one back. An explicit
// GOMAXPROCS in the environment wins.
func spareProcessor(loops int) {
	if loops > 0 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(loops + 1)
	}
}
