package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/metrics"
	"github.com/agloop/agloop/metrics/prom"
	"github.com/agloop/agloop/server"
)

//go:embed page
var page embed.FS

func demo(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("demo", stderr)
	// The profile can be changed by whoever reaches the page.
	addr := flags.String("addr", "localhost:8080", "`address` to listen on; :8080 is reached from other machines too")
	if code, ok := parse(flags, args); !ok {
		return code
	}
	srv, _ := newDemo()
	return serve("demo", &listening{addr: *addr}, srv, stderr, func(a net.Addr) {
		fmt.Fprintf(stdout, "agloop demo: open http://%s/ in a browser; Ctrl-C ends it\n", browsable(a))
	})
}

// newDemo returns the server and what it answers over HTTP. The optimizer is off until somebody
// switches it on, so that a profile stays as it was chosen; the page says so.
func newDemo() (*server.Server, *http.ServeMux) {
	// The server is made with the mux, and the routes of the mux need the server.
	mux := http.NewServeMux()
	srv := server.New(server.Config{
		Agent: server.AgentFunc(scriptedAgent),
		Path:  "/ws",
		// By default what is older than 1,024 events is folded, and the demo's answers are shorter.
		Runs: server.RunsConfig{WindowEvents: 32},
		HTTP: mux,
	})
	demoRoutes(mux, srv)
	return srv, mux
}

// browsable is an address that a browser on this machine can open, which the wildcard address is
// not.
func browsable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// demoRoutes adds the HTTP routes of the demo. srv must be serving when its figures are requested.
func demoRoutes(mux *http.ServeMux, srv *server.Server) {
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	mux.Handle("GET /", pageHeaders(http.FileServerFS(files)))
	mux.HandleFunc("GET /ping", agloop.DefaultHTTP)
	mux.HandleFunc("GET /ws", agloop.DefaultHTTP) // answers 426 to requests without an upgrade
	mux.Handle("GET /metrics", prom.Handler(prom.NewCollector(
		func() *metrics.PerformanceMetrics { return srv.GetPerformanceManager().GetMetrics() },
		func(s *metrics.Source) { srv.GetPerformanceManager().GetMetricsCollector().Totals(s) },
	)))
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		out := statsOf(srv.Stats())
		out.pageTuning = tuningOf(srv.GetPerformanceManager())
		writeJSON(w, out)
	})
	// Pages of other origins must not change the tuning of a demo on the visitor's machine.
	mux.Handle("POST /profile", http.NewCrossOriginProtection().Handler(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			changeTuning(w, r, srv.GetPerformanceManager())
		}),
	))
}

// pageHeaders lets the page load and call nothing but its own origin.
func pageHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "+
			"connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// pageStats are the figures that the page shows. They are totals, from which the page computes
// rates.
type pageStats struct {
	Connections uint64 `json:"connections"` // WebSockets open now
	Runs        int    `json:"runs"`
	MessagesIn  uint64 `json:"messagesIn"`
	FramesOut   uint64 `json:"framesOut"`
	BytesOut    uint64 `json:"bytesOut"`
	Writes      uint64 `json:"writes"`
	Viewers     int    `json:"viewers"`  // attached to runs that go on
	LogBytes    int64  `json:"logBytes"` // of all logs, those of runs that have ended included
	pageTuning
}

func statsOf(s server.Stats) pageStats {
	out := pageStats{
		Runs: s.Runs, MessagesIn: s.MessagesIn,
		FramesOut: s.FramesOut, BytesOut: s.BytesOut, Writes: s.Writes,
		Viewers: s.Logged.Viewers, LogBytes: s.Logged.LogBytes,
	}
	// s.Connections includes the connection of this request. The counters are read one after
	// another, so a connection may be counted as closed before it is counted as opened.
	if s.Opened > s.Closed {
		out.Connections = s.Opened - s.Closed
	}
	return out
}

func writeJSON(w http.ResponseWriter, value any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(value) // a page that has gone needs no answer
}
