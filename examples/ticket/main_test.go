package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/examples/internal/trial"
	"github.com/agloop/agloop/internal/leaktest"
	"github.com/agloop/agloop/server"
	"github.com/gorilla/websocket"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func login(of string) http.Header { return http.Header{"Authorization": {"Bearer " + of}} }

// newTicket asks a program for a ticket.
func newTicket(t *testing.T, p *trial.Program, user string) string {
	t.Helper()
	status, body := trial.Fetch(t, "POST", "http://"+p.Addr+"/ticket", login(user))
	var answer struct{ Ticket string }
	if err := json.Unmarshal([]byte(body), &answer); status != 200 || err != nil || len(answer.Ticket) != 32 {
		t.Fatalf("POST /ticket is answered %d %q", status, body)
	}
	return answer.Ticket
}

// wantRefused checks that a query does not get in.
func wantRefused(t *testing.T, p *trial.Program, query string, status int) {
	t.Helper()
	_, resp, err := trial.Dial(t, "ws://"+p.Addr+"/ws"+query, nil)
	if err != websocket.ErrBadHandshake || resp.StatusCode != status {
		t.Errorf("with %q: %v, %v, want %d", query, resp, err, status)
	}
}

func TestTicket(t *testing.T) {
	p := trial.Start(t, serve)
	ticket := newTicket(t, p, "login-of-ada")
	c := trial.Connect(t, "ws://"+p.Addr+"/ws?ticket="+ticket, client.Config{})
	if got := trial.Said(t, c, "hello"); got != "Hello ada." {
		t.Errorf("the agent said %q", got)
	}
	wantRefused(t, p, "?ticket="+ticket, http.StatusUnauthorized)
	wantRefused(t, p, "?ticket=00112233445566778899aabbccddeeff", http.StatusUnauthorized)
	wantRefused(t, p, "?ticket=", http.StatusUnauthorized)
	wantRefused(t, p, "", http.StatusUnauthorized)
	wantRefused(t, p, "?ticket=;", http.StatusBadRequest)
	if status, _ := trial.Fetch(t, "GET", "http://"+p.Addr+"/ping", nil); status != 200 {
		t.Errorf("GET /ping is answered %d", status)
	}
}

// TestRace: of two connections with one ticket exactly one gets in.
func TestRace(t *testing.T) {
	p := trial.Start(t, serve)
	for range 20 {
		ticket := newTicket(t, p, "login-of-ada")
		var in, out int
		var mu sync.Mutex
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				_, resp, err := trial.Dial(t, "ws://"+p.Addr+"/ws?ticket="+ticket, nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					in++
				case err == websocket.ErrBadHandshake && resp.StatusCode == http.StatusUnauthorized:
					out++
				default:
					t.Error(err)
				}
			})
		}
		both.Wait()
		if in != 1 || out != 1 {
			t.Fatalf("%d got in and %d did not", in, out)
		}
	}
}

func TestRequestsForTickets(t *testing.T) {
	p := trial.Start(t, serve)
	url := "http://" + p.Addr + "/ticket"
	for _, header := range []http.Header{nil, login("login-of-nobody")} {
		if status, _ := trial.Fetch(t, "POST", url, header); status != http.StatusUnauthorized {
			t.Errorf("with %v: %d", header, status)
		}
	}
	for range maxTicketsEach {
		newTicket(t, p, "login-of-ada")
	}
	if status, _ := trial.Fetch(t, "POST", url, login("login-of-ada")); status != http.StatusTooManyRequests {
		t.Errorf("a ticket too many is answered %d", status)
	}
	newTicket(t, p, "login-of-ben")
}

func TestBounds(t *testing.T) {
	s := newTickets(time.Hour, 3, 2)
	issue := func(user string, want error) (ticket string) {
		t.Helper()
		ticket, err := s.issue(user)
		if !errors.Is(err, want) {
			t.Fatalf("a ticket of %s: %v, want %v", user, err, want)
		}
		return ticket
	}
	first := issue("ada", nil)
	issue("ada", nil)
	issue("ada", errTooManyOfYours)
	issue("ben", nil)
	issue("eve", errTooMany)
	if user, ok := s.take(first); user != "ada" || !ok {
		t.Errorf("the ticket is of %q, %t", user, ok)
	}
	issue("eve", nil)
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // its clock is none of the machine's
		s := newTickets(ticketLife, 1, 1)
		issue := func() string {
			ticket, err := s.issue("ada")
			if err != nil {
				t.Fatal(err)
			}
			return ticket
		}
		used := issue()
		time.Sleep(ticketLife - 1)
		if _, ok := s.take(used); !ok {
			t.Error("a ticket has expired too early")
		}
		late := issue()
		time.Sleep(ticketLife)
		synctest.Wait()
		if _, ok := s.take(late); ok {
			t.Error("a ticket counts after its time")
		}
		if len(s.waiting)+len(s.of) != 0 {
			t.Errorf("%v and %v are left", s.waiting, s.of)
		}
	})
}

// TestGreet: the agent alone, without a server.
func TestGreet(t *testing.T) {
	got := aguitest.Config{Principal: server.Principal{Value: "ada"}}.Run(t, server.AgentFunc(greet), aguitest.Input("hello"))
	got.WantSuccess()
	got.WantText("Hello ada.")
}
