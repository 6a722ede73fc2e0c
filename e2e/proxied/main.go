// Command proxied is a host as docs/deploy.md has it, for tests to put behind real proxies. Its
// agent says what comes in on standard input, a line a token, and an empty line ends the message: so
// a test decides when a token is emitted. What Authorize was told of a client stands in the response
// that lets it in.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/agloop/agloop/server"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "`address` to listen on; with a slash in it a unix socket")
	mounted := flag.Bool("mounted", false, "mount the server in one of net/http")
	cfg := server.Config{
		Authorize:    authorize,
		DrainTimeout: 20 * time.Second,
	}
	flag.BoolVar(&cfg.ProxyProtocol, "proxy-protocol", false, "expect the PROXY protocol")
	flag.Func("tls", "speak TLS, by the certificate and the key in this `file`", func(file string) error {
		cert, err := tls.LoadX509KeyPair(file, file)
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		return err
	})
	flag.Func("hosts", "`names` in Host, with commas between", func(s string) error {
		cfg.Hosts = strings.Split(s, ",")
		return nil
	})
	flag.Func("origins", "further `origins`, with commas between", func(s string) error {
		cfg.Origins = strings.Split(s, ",")
		return nil
	})
	flag.Func("trust", "`network` of a proxy; may be given again", func(s string) error {
		p, err := netip.ParsePrefix(s)
		cfg.TrustedProxies = append(cfg.TrustedProxies, p)
		return err
	})
	flag.Parse()

	words := make(chan string)
	go read(words)
	cfg.Agent = agent(words)
	if err := serve(*addr, cfg, *mounted); err != nil {
		fmt.Fprintln(os.Stderr, "proxied:", err)
		os.Exit(1)
	}
}

// read sends the lines of standard input.
func read(words chan<- string) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words <- lines.Text()
	}
}

func agent(words <-chan string) server.Agent {
	return server.AgentFunc(func(ctx context.Context, run *server.Run) error {
		msg, err := run.TextMessage()
		for err == nil {
			select {
			case word := <-words:
				if word == "" {
					return msg.Close()
				}
				err = msg.Write(word)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return err
	})
}

func authorize(_ context.Context, req *server.Request) (server.Grant, error) {
	if req.RawQuery == "refuse" {
		return server.Grant{}, &server.RefusedError{Status: http.StatusUnauthorized, Reason: "no token"}
	}
	return server.Grant{Header: http.Header{
		"X-Remote": {req.Remote.String()},
		"X-Scheme": {req.Scheme},
	}}, nil
}

func serve(addr string, cfg server.Config, mounted bool) error {
	network := "tcp"
	if strings.Contains(addr, "/") {
		network = "unix"
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	fmt.Printf("proxied: http://%s/\n", ln.Addr())
	if mounted {
		return serveMounted(ln, cfg)
	}
	return serveOwn(ln, cfg)
}

func serveOwn(ln net.Listener, cfg server.Config) error {
	mux := http.NewServeMux()
	cfg.HTTP = mux
	srv := server.New(cfg)
	routes(mux, srv)

	served := make(chan error, 1)
	go func() { served <- srv.ServeListener(ln) }()

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	select {
	case err := <-served:
		return err
	case <-signals:
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // more than DrainTimeout
	defer cancel()
	return srv.Shutdown(ctx)
}

func serveMounted(ln net.Listener, cfg server.Config) error {
	mux := http.NewServeMux()
	srv := server.New(cfg)
	if cfg.TLS != nil {
		ln = srv.Listener(ln, cfg.TLS)
	}
	mux.Handle("GET /ws", srv)
	mux.Handle("/agui", srv) // runs over HTTP
	mux.Handle("/agui/", srv)
	routes(mux, srv)

	hs := &http.Server{Handler: mux}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(ln) }()

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	select {
	case err := <-served:
		return err
	case <-signals:
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // more than DrainTimeout
	defer cancel()
	gone := make(chan error, 1)
	hs.RegisterOnShutdown(func() { gone <- srv.Shutdown(ctx) })
	if err := hs.Shutdown(ctx); err != nil {
		return err
	}
	return <-gone
}

// routes are what probes ask, and what a test does: which connection of the proxy it came on.
func routes(mux *http.ServeMux, srv *server.Server) {
	mux.HandleFunc("GET /ping", server.DefaultHTTP)
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := srv.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /peer", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) })
}
