// Command mux mounts an agent in the ServeMux of a server of net/http, beside other routes and
// behind a middleware that wraps the ResponseWriter. It ends in order at SIGTERM: runs have two
// seconds to come to their end, every client is told that the server goes away, and only then does
// the process end. Run it with
//
//	go run ./mux
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/server"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`address` to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s/, with an agent at /ws", ln.Addr())
	if err := serve(ctx, ln); err != nil {
		log.Fatal(err)
	}
}

const (
	drainTimeout = 2 * time.Second  // for runs to come to their end by themselves
	endTimeout   = 10 * time.Second // for everything; less than what the process is killed after
)

// serve serves on ln until ctx ends, and returns when everything has come to its end.
func serve(ctx context.Context, ln net.Listener) error {
	agent := server.New(server.Config{Agent: server.AgentFunc(count), DrainTimeout: drainTimeout})

	mux := http.NewServeMux()
	mux.Handle("/ws", agent)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "The agent is at /ws.\n")
	})
	web := &http.Server{Handler: logged(mux), ReadHeaderTimeout: 5 * time.Second}

	// web.Shutdown knows nothing of the connections that the agent has taken over. It calls this
	// function but does not wait for it, so its result is waited for below.
	ended := make(chan error, 1)
	web.RegisterOnShutdown(func() {
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		ended <- agent.Shutdown(ctx)
	})

	served := make(chan error, 1)
	go func() { served <- web.Serve(ln) }()
	select {
	case err := <-served: // it cannot serve
		return errors.Join(err, agent.Close())
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	err := web.Shutdown(ctx)
	return errors.Join(err, <-ended)
}

// logged logs every request.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &statusWriter{ResponseWriter: w}
		start := time.Now()
		next.ServeHTTP(sw, r)
		// Status 0 is a connection that was taken over: its request is over, it is not.
		slog.Info("request", "method", r.Method, "path", r.URL.Path, "status", sw.status, "took", time.Since(start))
	})
}

// statusWriter notes the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap shows what is below. Without it no connection can be taken over, and every request for a
// WebSocket is answered 500.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// count is an agent that takes its time: it counts to the number it is told, ten a second. When the
// server has no more time for it ctx ends, and the server ends the run with outcome cancelled.
func count(ctx context.Context, run *server.Run) error {
	to, err := strconv.Atoi(lastText(run.Input.Messages))
	if err != nil {
		return &agui.PublicError{Message: "say a number, and I count to it"} // the client reads no other errors
	}
	msg, err := run.TextMessage()
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 1; i <= to; i++ {
		if err := msg.Write(fmt.Sprint(i, " ")); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return msg.Close()
}

// lastText is the text of the last message.
func lastText(messages []agui.Message) string {
	if n := len(messages); n > 0 && messages[n-1].Content != nil {
		return messages[n-1].Content.Text
	}
	return ""
}
