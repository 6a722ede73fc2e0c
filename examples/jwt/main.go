// Command jwt lets in who has a JSON Web Token: in the Authorization header, in a cookie, or in a
// subprotocol, since pages cannot set headers of a WebSocket. A connection ends with its token,
// with close code 4011, and a refusal never says what is wrong with a token. It prints a token to
// try; run it with
//
//	go run ./jwt
//
// Browsers send a cookie whichever page connects. What keeps out pages of other origins is the
// check of the origin, which comes before Authorize: a server that takes cookies lists in Origins
// only pages that may act for their user, and never "*".
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/agloop/agloop/server"
	"github.com/golang-jwt/jwt/v5"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`address` to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	// A host has only the public key, of the service that its users log in to.
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: "ada",
		ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}).SignedString(key)
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on ws://%s/ws, for an hour with the token %s", ln.Addr(), token)
	if err := serve(ctx, ln, &key.PublicKey); err != nil {
		log.Fatal(err)
	}
}

const (
	issuer   = "https://login.example"
	audience = "agent.example"

	// protocol is the subprotocol of the agent. A page offers it beside its token:
	//
	//	new WebSocket(url, ["agui.v1", "bearer." + token])
	//
	// The server chooses it, unless the client offers agloop.v1.json as well. So the token is never sent
	// back, and a page that offers the token alone gets no subprotocol, which browsers take for a
	// failure.
	protocol    = "agui.v1"
	tokenPrefix = "bearer."

	// tokenCookie must be set with HttpOnly, Secure and SameSite=Strict by who logs the user in.
	tokenCookie = "token"

	endTimeout = 10 * time.Second // bounds the end of the program
)

// serve serves on ln until ctx ends, and returns when everything has come to its end.
func serve(ctx context.Context, ln net.Listener, key *rsa.PublicKey) error {
	srv := server.New(server.Config{
		Agent: server.AgentFunc(greet), Authorize: authorizer(key), Protocols: []string{protocol},
	})
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

// unauthorized is what everybody is told who is not let in, whatever the reason: it would help
// those who make tokens up.
var unauthorized = &server.RefusedError{
	Status: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {"Bearer"}},
	Reason: "a valid token is needed",
}

// authorizer returns an Authorize that lets in who has a token signed with key.
func authorizer(key *rsa.PublicKey) func(context.Context, *server.Request) (server.Grant, error) {
	parser := jwt.NewParser(
		// The algorithm is ours to say and not the token's. Otherwise one with "none" needs no
		// signature, and one with HS256 is signed with what everybody knows, the public key.
		jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience), // a token for another service of the issuer is none for us
		jwt.WithExpirationRequired(),
	)
	return func(_ context.Context, req *server.Request) (server.Grant, error) {
		token := tokenOf(req)
		if token == "" {
			return server.Grant{}, unauthorized
		}
		var claims jwt.RegisteredClaims
		_, err := parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return key, nil })
		switch {
		case err != nil: // what is around a RefusedError is logged and not sent
			return server.Grant{}, fmt.Errorf("%w: %w", unauthorized, err)
		case claims.Subject == "": // it would be anonymous
			return server.Grant{}, fmt.Errorf("%w: the token has no sub", unauthorized)
		}
		return server.Grant{Principal: server.Principal{
			Key: claims.Subject, ExpiresAt: claims.ExpiresAt.Time, Value: claims.Subject, // found at Run.Principal
		}}, nil
	}
}

// tokenOf is the token of a request, "" for none. What a program or a page has sent on purpose
// comes before the cookie, which browsers add to every request.
func tokenOf(req *server.Request) string {
	if scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return token
	}
	for _, offer := range req.Protocols {
		if token, ok := strings.CutPrefix(offer, tokenPrefix); ok {
			return token
		}
	}
	cookie, err := (&http.Request{Header: req.Header}).Cookie(tokenCookie)
	if err != nil {
		return ""
	}
	return cookie.Value
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
