package main

import (
	"net/http"
	"testing"

	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/examples/internal/trial"
	"github.com/agloop/agloop/internal/leaktest"
	"github.com/agloop/agloop/server"
	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	leaktest.Main(m)
}

func withKey(key string) http.Header { return http.Header{"X-Api-Key": {key}} }

func TestCustomers(t *testing.T) {
	p := trial.Start(t, serve)
	for key, customer := range customers {
		c := trial.Connect(t, "ws://"+p.Addr+"/api/ws", client.Config{Header: withKey(key)})
		if got, want := trial.Said(t, c, "hello"), "Hello "+customer+"."; got != want {
			t.Errorf("the agent said %q, want %q", got, want)
		}
		if status, body := trial.Fetch(t, "GET", "http://"+p.Addr+"/api/whoami", withKey(key)); status != 200 || body != customer {
			t.Errorf("GET /api/whoami is answered %d %q", status, body)
		}
	}
}

func TestStrangers(t *testing.T) {
	p := trial.Start(t, serve)
	for _, header := range []http.Header{nil, withKey("key-of-nobody")} {
		_, resp, err := trial.Dial(t, "ws://"+p.Addr+"/api/ws", header)
		if err != websocket.ErrBadHandshake || resp.StatusCode != http.StatusForbidden {
			t.Errorf("with %v: %v, %v", header, resp, err)
		}
	}
	if _, err := authorize(t.Context(), new(server.Request)); err == nil {
		t.Error("authorize lets in whom no middleware has seen")
	}
}

func TestEnd(t *testing.T) {
	p := trial.Start(t, serve)
	conn, _, err := trial.Dial(t, "ws://"+p.Addr+"/api/ws", withKey("key-of-acme"))
	if err != nil {
		t.Fatal(err)
	}
	p.Stop()
	if code := trial.CloseCode(t, conn); code != websocket.CloseGoingAway {
		t.Errorf("the client was told %d", code)
	}
	p.Wait(t)
}

// TestGreet: the agent alone, without a server.
func TestGreet(t *testing.T) {
	got := aguitest.Config{Values: []any{customerKey{}, "ada"}}.Run(t, server.AgentFunc(greet), aguitest.Input("hello"))
	got.WantSuccess()
	got.WantText("Hello ada.")
}
