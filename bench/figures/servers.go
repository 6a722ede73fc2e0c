package main

import (
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// server is one program to measure: which binary, and how to start it.
type server struct {
	name    string
	bin     string
	args    []string
	loops   bool     // has event loops, and takes --loops
	path    string   // where it is; "" is the case's
	load    []string // flags of the load that is put on it
	command string   // of a server that is not ours: a shell's words with {addr}, {host} and {port}
}

func agloop(mode string) server {
	return server{name: "agloop", bin: "agloop", args: []string{mode}, loops: true}
}

// as is a server under another name, or another load.
func (srv server) as(name string, load ...string) server {
	srv.name, srv.load = name, load
	return srv
}

// at is a server at another path than the case's.
func (srv server) at(path string) server {
	srv.path = path
	return srv
}

// withLog are the flags of a load whose runs have a log, as those of clients that want to resume them.
func withLog(flags ...string) []string {
	return append([]string{"--protocol", "agloop.v1.json"}, flags...)
}

func logged() server { return agloop("stream").as(loggedStream, withLog()...) }

const loggedStream = "agloop, runs with a log"

// secured is a server that serves wss. gnet and epollc cannot.
func (srv server) secured() server {
	if srv.bin == "agloop" {
		return srv.with("--tls-self-signed")
	}
	return srv.with("--tls")
}

// with is a server with more flags of its own.
func (srv server) with(flags ...string) server {
	srv.args = slices.Concat(srv.args, flags)
	return srv
}

func tagged(tag string) server {
	return server{name: "agloop+" + tag, bin: "agloop+" + tag, args: []string{"echo"}, loops: true}
}

func rival(name string, loops bool) server {
	return server{name: name, bin: "rivals", args: []string{name}, loops: loops}
}

var (
	agloopEcho = agloop("echo")
	epollc     = server{name: "epollc", bin: "epollc"}
	gnet       = rival("gnet", true)
	gorilla    = rival("gorilla", false)
	coder      = rival("coder", false)
	gws        = rival("gws", false)
	nbio       = rival("nbio", true)
	gobwas     = rival("gobwas", false)
	corked     = rival("gobwas-corked", false) // gobwas tuned by hand

	allEchoes   = []server{agloopEcho, epollc, gnet, gorilla, coder, gws, nbio, gobwas, corked}
	sweepEchoes = []server{agloopEcho, epollc, gnet, gorilla, gws, nbio}
)

// shown is the command of a server that is not ours, without its directory.
func (srv server) shown() string {
	program, args, _ := strings.Cut(srv.command, " ")
	return strings.TrimSpace(filepath.Base(program) + " " + args)
}

// argv is the command line that starts srv on addr.
func (srv server) argv(dir, addr string, loops int) []string {
	if srv.command != "" {
		host, port, _ := net.SplitHostPort(addr)
		words := strings.NewReplacer("{addr}", addr, "{host}", host, "{port}", port).Replace(srv.command)
		// The shell becomes the server, so that the process id is the server's own.
		return []string{"sh", "-c", "exec " + words}
	}
	out := append([]string{filepath.Join(dir, srv.bin)}, srv.args...)
	out = append(out, "--addr", addr)
	if srv.loops {
		out = append(out, "--loops", strconv.Itoa(loops))
	}
	return out
}
