// Command scripted is a host whose agent does what a run's input says, step by step, so that a test
// decides what comes when. Who a client is comes from its cookie, its query, a subprotocol or a
// token, as is told below.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/server"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "`address` to listen on")
	deflate := flag.Bool("deflate", false, "compress messages for clients that offer it")
	origins := []string{"*"}
	flag.Func("origin", "the one further `origin`, whose pages may send cookies over HTTP as well", func(s string) error {
		origins = []string{s}
		return nil
	})
	flag.Parse()
	h := &host{gates: make(map[string]chan struct{}), stopped: make(map[string]string), started: make(map[string]int)}
	cfg := server.Config{
		Agent: server.AgentFunc(h.run), Authorize: h.authorize, Origins: origins, DrainTimeout: 10 * time.Second,
		Rates: server.Rates{Guesses: -1}, HTTP: http.HandlerFunc(h.serve),
		Compression: server.Compression{Enabled: *deflate, Takeover: *deflate},
	}
	if err := serve(*addr, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "scripted:", err)
		os.Exit(1)
	}
}

func serve(addr string, cfg server.Config) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	srv := server.New(cfg)
	go func() {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = srv.Shutdown(late)
	}()
	fmt.Printf("scripted on http://%s/\n", ln.Addr())
	if err := srv.ServeListener(ln); !errors.Is(err, server.ErrServerClosed) {
		return err
	}
	return nil
}

// host has the gates that tests open, and what its agent was told at the end of runs.
type host struct {
	mu      sync.Mutex
	gates   map[string]chan struct{}
	stopped map[string]string // causes, by run
	started map[string]int    // how often its agent was called, by run
}

func (h *host) gate(name string) chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gates[name] == nil {
		h.gates[name] = make(chan struct{})
	}
	return h.gates[name]
}

// serve opens a gate, or says why a run was stopped, or how often one was started.
func (h *host) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	switch name := r.URL.Query().Get("name"); r.URL.Path {
	case "/open":
		close(h.gate(name))
	case "/stopped":
		h.mu.Lock()
		defer h.mu.Unlock()
		fmt.Fprint(w, h.stopped[name])
	case "/started":
		h.mu.Lock()
		defer h.mu.Unlock()
		fmt.Fprint(w, h.started[name])
	default:
		http.NotFound(w, r)
	}
}

// step is one thing that the agent does. A script is the member script of forwardedProps.
type step struct {
	Event json.RawMessage `json:"event"` // emit it
	Gate  string          `json:"gate"`  // wait until it is open
	Steer bool            `json:"steer"` // wait for what somebody says, and emit it
	Fail  string          `json:"fail"`  // return an error
	Wait  bool            `json:"wait"`  // wait until the run is stopped
}

func (h *host) run(ctx context.Context, r *server.Run) error {
	var props struct {
		Script []step `json:"script"`
	}
	if err := json.Unmarshal(r.Input.ForwardedProps, &props); err != nil {
		return err
	}
	h.mu.Lock()
	h.started[r.Input.RunID]++
	h.mu.Unlock()
	steering := r.Steering()
	var decoder event.Decoder
	for _, s := range props.Script {
		if err := h.do(ctx, r, &s, steering, &decoder); err != nil {
			h.mu.Lock()
			h.stopped[r.Input.RunID] = err.Error()
			h.mu.Unlock()
			return err
		}
	}
	return nil
}

func (h *host) do(ctx context.Context, r *server.Run, s *step, steering <-chan struct{}, decoder *event.Decoder) error {
	var gate chan struct{}
	switch {
	case s.Event != nil:
		ev, _, err := decoder.DecodeEvent(s.Event)
		if err != nil {
			return err
		}
		return r.Emit(ev)
	case s.Fail != "":
		return errors.New(s.Fail)
	case s.Steer:
		select {
		case <-steering:
			_, _, err := r.TakeSteer()
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	case s.Gate != "":
		gate = h.gate(s.Gate)
	case !s.Wait:
		return errors.New("a step that says nothing")
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// authorize takes the first of: the member user of the query, the cookie user, a subprotocol
// user.NAME, a token. Where the query has later, the token comes later. Who has none is anonymous; the
// name nobody is refused.
func (h *host) authorize(_ context.Context, req *server.Request) (server.Grant, error) {
	query, err := url.ParseQuery(req.RawQuery)
	if err != nil {
		return server.Grant{}, err
	}
	name := query.Get("user")
	if c, err := (&http.Request{Header: req.Header}).Cookie("user"); err == nil && name == "" {
		name = c.Value
	}
	for _, p := range req.Protocols {
		if user, ok := strings.CutPrefix(p, "user."); ok && name == "" {
			name = user
		}
	}
	if token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer "); ok && name == "" {
		name = token
	}
	switch {
	case name == "nobody":
		return server.Grant{}, &server.RefusedError{Status: http.StatusUnauthorized, Reason: "nobody may"}
	case name == "" && query.Has("later"):
		return server.Grant{}, server.ErrAuthLater
	}
	return server.Grant{Principal: server.Principal{Key: name}}, nil
}
