package main

import (
	"net/http"
	"testing"

	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/examples/internal/trial"
	"github.com/agloop/agloop/internal/leaktest"
	"github.com/agloop/agloop/server"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/websocket"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestAgent(t *testing.T) {
	p := trial.Start(t, serve)
	id := http.Header{middleware.RequestIDHeader: {"id-of-a-proxy"}}
	c := trial.Connect(t, "ws://"+p.Addr+"/ws", client.Config{Header: id})
	if got, want := trial.Said(t, c, "hello"), "Hello, you came with request id-of-a-proxy."; got != want {
		t.Errorf("the agent said %q, want %q", got, want)
	}
	if status, _ := trial.Fetch(t, "GET", "http://"+p.Addr+"/", nil); status != 200 {
		t.Errorf("GET / is answered %d", status)
	}
	if status, _ := trial.Fetch(t, "GET", "http://"+p.Addr+"/ws", nil); status != http.StatusUpgradeRequired {
		t.Errorf("GET /ws is answered %d", status)
	}
}

func TestRequestIDInResponse(t *testing.T) {
	p := trial.Start(t, serve)
	id := http.Header{middleware.RequestIDHeader: {"id-of-a-proxy"}}
	_, resp, err := trial.Dial(t, "ws://"+p.Addr+"/ws", id)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get(middleware.RequestIDHeader); got != "id-of-a-proxy" {
		t.Errorf("the response has request id %q", got)
	}
}

// TestEnd: an echo, and at the end of the program the clients of both servers are told.
func TestEnd(t *testing.T) {
	p := trial.Start(t, serve)
	atAgent, _, err := trial.Dial(t, "ws://"+p.Addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	atEcho, _, err := trial.Dial(t, "ws://"+p.Addr+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := atEcho.WriteMessage(websocket.BinaryMessage, []byte("bytes")); err != nil {
		t.Fatal(err)
	}
	if kind, b, err := atEcho.ReadMessage(); kind != websocket.BinaryMessage || string(b) != "bytes" {
		t.Errorf("the echo is %d %q, %v", kind, b, err)
	}
	p.Stop()
	for _, conn := range []*websocket.Conn{atAgent, atEcho} {
		if code := trial.CloseCode(t, conn); code != websocket.CloseGoingAway {
			t.Errorf("a client was told %d", code)
		}
	}
	p.Wait(t)
}

// TestGreet: the agent alone, without a server.
func TestGreet(t *testing.T) {
	got := aguitest.Config{Principal: server.Principal{Value: "id-7"}}.Run(t, server.AgentFunc(greet), aguitest.Input("hello"))
	got.WantSuccess()
	got.WantText("Hello, you came with request id-7.")
}
