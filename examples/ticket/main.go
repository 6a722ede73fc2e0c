// Command ticket lets pages in with tickets: a page asks for one by POST /ticket, where it can show
// who its user is as in any other request, and connects to /ws?ticket=… with it. A ticket is good
// for one connection within 30 seconds, so one that stands in the log of a proxy is worth nothing.
// Both are on one port without a server of net/http, by Config.HTTP; run it with
//
//	go run ./ticket
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

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
	log.Printf("listening; for a ticket: curl -X POST -H 'Authorization: Bearer login-of-ada' http://%s/ticket", ln.Addr())
	if err := serve(ctx, ln); err != nil {
		log.Fatal(err)
	}
}

// endTimeout bounds the end of the program.
const endTimeout = 10 * time.Second

// serve serves on ln until ctx ends, and returns when everything has come to its end.
func serve(ctx context.Context, ln net.Listener) error {
	tickets := newTickets(ticketLife, maxTickets, maxTicketsEach)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ticket", tickets.hand)
	mux.HandleFunc("/", server.DefaultHTTP)
	srv := server.New(server.Config{Agent: server.AgentFunc(greet), Authorize: tickets.authorize, HTTP: mux})

	served := make(chan error, 1)
	go func() { served <- srv.ServeListener(ln) }()
	select {
	case err := <-served: // it cannot serve
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	return srv.Shutdown(ctx)
}

// users stands for the host's login: who has which.
var users = map[string]string{"login-of-ada": "ada", "login-of-ben": "ben"}

// hand answers a request for a ticket.
func (s *tickets) hand(w http.ResponseWriter, r *http.Request) {
	login, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	user, ok := users[login]
	if !ok {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "log in first", http.StatusUnauthorized)
		return
	}
	ticket, err := s.issue(user)
	if err != nil {
		status := http.StatusServiceUnavailable
		if errors.Is(err, errTooManyOfYours) {
			status = http.StatusTooManyRequests
		}
		w.Header().Set("Retry-After", "30")
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]string{"ticket": ticket})
}

// authorize lets in who has a ticket.
func (s *tickets) authorize(_ context.Context, req *server.Request) (server.Grant, error) {
	query, err := url.ParseQuery(req.RawQuery)
	if err != nil {
		return server.Grant{}, &server.RefusedError{Status: http.StatusBadRequest, Reason: "malformed query"}
	}
	user, ok := s.take(query.Get("ticket"))
	if !ok {
		return server.Grant{}, &server.RefusedError{Status: http.StatusUnauthorized, Reason: "a ticket is needed, from POST /ticket"}
	}
	// Value is found at Run.Principal.
	return server.Grant{Principal: server.Principal{Key: user, Value: user}}, nil
}

// greet is an agent that answers every input with one message.
func greet(_ context.Context, run *server.Run) error {
	msg, err := run.TextMessage()
	if err != nil {
		return err
	}
	if err := msg.Write("Hello " + run.Principal.Value.(string) + "."); err != nil {
		return err
	}
	return msg.Close()
}
