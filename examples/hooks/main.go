// Command hooks knows who is there: hooks tell it of connections that begin and end, and an
// administrator may ask who is there and send somebody away. What one client may do is bounded by
// rates for the open internet, and how many there may be by quotas. It prints the token of the
// administrator; run it with
//
//	go run ./hooks
package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"flag"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
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
	admin := rand.Text()
	log.Printf("listening on ws://%[1]s/ws?user=ada; who is there: curl -H 'Authorization: Bearer %[2]s' http://%[1]s/present", ln.Addr(), admin)
	if err := serve(ctx, ln, admin); err != nil {
		log.Fatal(err)
	}
}

const (
	maxConnsEach = 3                // of one user: a few tabs
	maxRunsEach  = 3                // and as many runs
	endTimeout   = 10 * time.Second // bounds the end of the program
)

// serve serves on ln until ctx ends, and returns when everything has come to its end. admin is the
// token of the administrator.
func serve(ctx context.Context, ln net.Listener, admin string) error {
	var present presence
	mux := http.NewServeMux()
	srv := server.New(server.Config{
		Agent:     server.AgentFunc(greet),
		Authorize: authorize,
		HTTP:      mux,
		Rates:     server.PublicRates(),
		// Behind a proxy name it in TrustedProxies, or all clients are one network.
		Quotas: server.Quotas{
			Conns: 10_000, ConnsPerPrincipal: maxConnsEach, ConnsPerNetwork: 100,
			RunsPerPrincipal: maxRunsEach,
		},
		Hooks: server.Hooks{Connected: present.connected, Disconnected: present.disconnected},
	})
	mux.HandleFunc("/", server.DefaultHTTP)
	mux.HandleFunc("GET /present", only(admin, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, present.list())
	}))
	mux.HandleFunc("DELETE /present/{user}", only(admin, func(w http.ResponseWriter, r *http.Request) {
		// This does not keep the user from coming again. Authorize would have to.
		n := srv.Peer(r.PathValue("user")).Kick(server.ClosePolicy, "sent away by the administrator")
		reply(w, map[string]int{"closed": n})
	}))

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

// only lets requests with the token pass.
func only(token string, next http.HandlerFunc) http.HandlerFunc {
	want := []byte("Bearer " + token)
	return func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "for the administrator", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		slog.Warn("reply", "err", err)
	}
}

// authorize stands for a login and believes what the client says: see the examples jwt and ticket.
func authorize(_ context.Context, req *server.Request) (server.Grant, error) {
	query, err := url.ParseQuery(req.RawQuery)
	if user := query.Get("user"); err == nil && user != "" && len(user) <= 64 {
		// Value is found at Run.Principal.
		return server.Grant{Principal: server.Principal{Key: user, Value: user}}, nil
	}
	return server.Grant{}, &server.RefusedError{Status: http.StatusBadRequest, Reason: "say who you are: ?user="}
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
