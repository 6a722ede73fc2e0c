package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/agloop/agloop/server"
)

// drainTimeout limits a graceful shutdown, in which active runs end as cancelled and waiting bytes
// are sent.
const drainTimeout = 10 * time.Second

// listening is where a command listens.
type listening struct {
	addr      string
	reusePort bool
	mounted   bool

	tlsSelfSigned, tlsTrim bool
	deflate, takeover      bool
	tls                    *tls.Config // nil: plain
}

// listenFlags registers the flags that say where a command listens.
func listenFlags(flags *flag.FlagSet, addr string) *listening {
	l := new(listening)
	flags.StringVar(&l.addr, "addr", addr, "`address` to listen on")
	flags.BoolVar(&l.reusePort, "reuse-port", false, "share the port with other processes that do (SO_REUSEPORT)")
	flags.BoolVar(&l.mounted, "mounted", false, "take the connections over from net/http, as a server mounted in it does")
	flags.BoolVar(&l.tlsSelfSigned, "tls-self-signed", false, "speak TLS, by a certificate for localhost that is made now and trusted by nobody")
	flags.BoolVar(&l.tlsTrim, "tls-trim", false, "give back what crypto/tls keeps of large records")
	flags.BoolVar(&l.deflate, "deflate", false, "compress messages for clients that offer it")
	flags.BoolVar(&l.takeover, "deflate-takeover", false, "let such clients keep their context, too")
	return l
}

func (l *listening) listen() (*net.TCPListener, error) {
	// The library pings silent peers, so the kernel's keepalive is not needed.
	lc := net.ListenConfig{KeepAlive: -1}
	if l.reusePort {
		lc.Control = sharePort
	}
	ln, err := lc.Listen(context.Background(), "tcp", l.addr)
	if err != nil {
		return nil, err
	}
	return ln.(*net.TCPListener), nil
}

// serve runs srv at l until SIGINT or SIGTERM and then shuts it down. A second signal ends the
// process at once. ready is called with the address when the server has started, before the first
// connection is accepted.
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
		announced := &readyListener{TCPListener: ln, ready: func() { ready(ln.Addr()) }}
		switch {
		case l.mounted && l.tls != nil:
			served <- http.Serve(srv.Listener(announced, l.tls), srv)
		case l.mounted:
			served <- http.Serve(announced, srv)
		default:
			served <- srv.ServeListener(announced)
		}
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
	_ = ln.Close() // which the server did, unless it is mounted
	<-served
	return exitOK
}

// readyListener calls ready at the first Accept. The server has then started and has not accepted
// anything.
type readyListener struct {
	*net.TCPListener // the server must see what it is
	ready            func()
	once             sync.Once
}

func (l *readyListener) Accept() (net.Conn, error) {
	l.once.Do(l.ready)
	return l.TCPListener.Accept()
}

// spareProcessor sets GOMAXPROCS to one more than there are loops. With as many busy loops as
// processors of the scheduler, its monitor takes the processor from a loop in every system call
// that lasts longer than 20 µs, and the loop must wait for another one. GOMAXPROCS in the
// environment has precedence.
func spareProcessor(loops int) {
	if loops > 0 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(loops + 1)
	}
}
