package main

import (
	"fmt"
	"strconv"

	"github.com/agloop/agloop/bench/result"
)

// Cases over TLS: 1.3, a certificate with ECDSA on P-256 that each server makes at its start, and all else as each library has it. gobwas
// on crypto/tls is the bare goroutine. bare gnet and epollc have no TLS.

// trimmedTLS is agloop with the setting that gives memory of TLS back.
const trimmedTLS = "agloop, TLS trimmed"

// secure are servers over TLS. The first is agloop's; trimmed is agloop once more.
func secure(mode string, rivals []server, trimmed bool) []server {
	out := []server{agloop(mode).secured()}
	if trimmed {
		out = append(out, out[0].as(trimmedTLS).with("--tls-trim"))
	}
	for _, srv := range rivals {
		out = append(out, srv.secured())
	}
	return out
}

var (
	tlsEchoes     = []server{gorilla, coder, gws, nbio, gobwas}
	tlsHandshakes = []server{gorilla, gws, nbio}

	ofCore  = result.Measure{Key: "conns_per_core_s", Name: "a core can do", Unit: "1/s", More: true}
	resumed = result.Measure{Key: "resumed", Name: "resumed", More: true}
)

func (s settings) tls() []workload {
	all := []workload{s.tlsIdle(false), s.tlsIdle(true), s.tlsEcho(1), s.tlsEcho(32)}
	for _, burst := range s.tlsBursts() {
		all = append(all, s.tlsStream(burst))
	}
	all = append(all, s.tlsHandshakes(false))
	if !s.quick {
		all = append(all, s.tlsHandshakes(true))
	}
	return all
}

func (s settings) tlsBursts() []int {
	if s.quick {
		return []int{1, 4}
	}
	return []int{1, 4, 8}
}

// tlsIdle is memory before a connection has carried anything, or behind one message of 64 KiB each way.
func (s settings) tlsIdle(after bool) workload {
	const message = 64 << 10
	conns := min(s.conns, 5000)
	if s.quick {
		conns = min(s.conns, 1000)
	}
	w := workload{
		name: fmt.Sprintf("tls-idle/conns=%d", conns), group: "tls-idle",
		title: fmt.Sprintf("memory per idle connection over TLS that has carried nothing yet, %d connections", conns),
		path:  "/", servers: secure("echo", tlsEchoes, after), measure: perIdle, beside: besideIdle,
		load: []string{
			"idle", "--tls", "--conns", strconv.Itoa(conns), "--settle", s.settle.String(), "--hold", s.settle.String(),
		},
	}
	if after {
		w.name = fmt.Sprintf("tls-idle-after/conns=%d/message=%d", conns, message)
		w.title = fmt.Sprintf("memory per idle connection over TLS that has had one message of 64 KiB echoed, %d connections", conns)
		w.load = append(w.load, "--message", strconv.Itoa(message))
	}
	return w
}

func (s settings) tlsEcho(inflight int) workload {
	w := s.echo(128, inflight)
	w.name, w.group, w.sweep = "tls-"+w.name, "tls-echo", nil
	w.title = fmt.Sprintf("server CPU per echo over TLS, 128 B, %d in flight on each of 64 connections", inflight)
	w.load = append(w.load, "--tls")
	w.servers = secure("echo", tlsEchoes, true)
	return w
}

// tlsStream has fewer runs than stream, for each costs more.
func (s settings) tlsStream(burst int) workload {
	s.runs = max(1, s.runs*2/5)
	w := s.stream(20, burst)
	w.name, w.group, w.title = "tls-"+w.name, "tls-stream", w.title+", over TLS"
	w.load = append(w.load, "--tls")
	w.servers = secure("stream", []server{gorilla, gws}, false)
	w.sweep = &result.Sweep{Plot: "burst", Axis: w.sweep.Axis, X: w.sweep.X}
	return w
}

// tlsHandshakes come at a rate: each costs the load as much as it costs the server, so that a closed loop would have both at their
// limit.
func (s settings) tlsHandshakes(resume bool) workload {
	const rate = 500
	w := workload{
		name: fmt.Sprintf("tls-handshakes/rate=%d", rate), group: "tls-handshakes",
		title: fmt.Sprintf("server CPU per TLS connection, full handshake and upgrade, %d a second", rate),
		path:  "/", servers: secure("echo", tlsHandshakes, false), measure: perConn,
		beside: append(besides("conn", "connections"), ofCore, resumed, kept),
		load: []string{
			"handshakes", "--tls", "--conns", "256", "--rate", strconv.Itoa(rate), "--seconds", decimal(2 * s.seconds), "--warm", "500ms",
		},
	}
	if resume {
		w.name += "/resumed"
		w.title = fmt.Sprintf("server CPU per TLS connection that resumes a session, handshake and upgrade, %d a second", rate)
		w.load = append(w.load, "--resume-sessions")
	}
	return w
}
