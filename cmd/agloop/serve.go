package main

import (
	"context"
	"flag"
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

// listening is where a command listens.
type listening struct {
	addr      string
	reusePort bool
}

// listenFlags registers the flags of a listening.
func listenFlags(flags *flag.FlagSet, addr string) *listening {
	l := new(listening)
	flags.StringVar(&l.addr, "addr", addr, "`address` to listen on")
	flags.BoolVar(&l.reusePort, "reuse-port", false, "share the port with other processes that do (SO_REUSEPORT)")
	return l
}

func (l *listening) listen() (net.Listener, error) {
	// The kernel's keepalive is redundant: the library pings silent peers.
	lc := net.ListenConfig{KeepAlive: -1}
	if l.reusePort {
		lc.Control = sharePort
	}
	return lc.Listen(context.Background(), "tcp", l.addr)
}

// serve runs srv at l until SIGINT or SIGTERM and then shuts it down. A second
// signal ends the process at once. ready is called with the address when the server has
// started, before the first connection is taken.
func serve(name string, l *listening, srv *server.Server, stderr io.Writer, ready func(net.Addr)) int {
	ln, err := l.listen()
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
