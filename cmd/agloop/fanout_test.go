package main

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/server"
)

// listener tells of what arrives.
type listener struct {
	server.NopHandler
	got chan string
}

func (l listener) OnMessage(_ *server.Conn, _ server.Opcode, payload []byte) {
	l.got <- string(payload)
}

func TestFanout(t *testing.T) {
	ln, err := (&listening{addr: "127.0.0.1:0", reusePort: true}).listen()
	if err != nil {
		t.Fatal(err)
	}
	handler := new(fanoutServer)
	srv := server.New(server.Config{
		Handler: handler,
		Path:    server.AnyPath,
		Loops:   2,
	})
	handler.all = srv.Topic("all")
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := srv.ServeListener(ln); !errors.Is(err, server.ErrServerClosed) {
			t.Error(err)
		}
	})
	defer serving.Wait()
	defer srv.Close()

	var peers []*client.Client
	var ears []listener
	for range 5 {
		ear := listener{got: make(chan string, 100)}
		c, err := client.Dial(t.Context(), fmt.Sprintf("ws://%s/", ln.Addr()), client.Config{Handler: ear})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		peers, ears = append(peers, c), append(ears, ear)
		// What the newcomer says reaches it only when the server knows it.
		hello := fmt.Sprint("hello of ", len(peers))
		c.Conn().Send(server.Text, []byte(hello))
		for _, ear := range ears {
			if got := <-ear.got; got != hello {
				t.Fatalf("got %q, want %q", got, hello)
			}
		}
	}
	for i := range 20 {
		peers[0].Conn().Send(server.Text, fmt.Append(nil, i))
	}
	for who, ear := range ears {
		for i := range 20 {
			if got := <-ear.got; got != fmt.Sprint(i) {
				t.Fatalf("connection %d got %q, want %d", who, got, i)
			}
		}
	}
}

func TestReusePort(t *testing.T) {
	first, err := (&listening{addr: "127.0.0.1:0", reusePort: true}).listen()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := (&listening{addr: first.Addr().String(), reusePort: true}).listen()
	if err != nil {
		t.Fatal("two that share a port:", err)
	}
	defer second.Close()
	if third, err := (&listening{addr: first.Addr().String()}).listen(); err == nil {
		third.Close()
		t.Error("one that does not share the port got it")
	}
}
