// Command rivals runs small WebSocket servers on other libraries, each written the way its users write it, to be
// measured beside this one.
//
//	rivals NAME --addr 127.0.0.1:9001 --loops 1
//	rivals versions
//
// NAME is one of
//
//	gnet      a bare gnet reactor: what the event loop alone costs
//	nbio      its own epoll engine, messages handled by its pool of goroutines
//	gobwas    a goroutine a connection, which is read and written bare
//	gobwas-corked  the same with buffers added by hand
//	gws       a goroutine a connection, event handler
//	gorilla   a goroutine a connection, net/http
//	coder     a goroutine a connection, net/http
//
// Each echoes on any path, but for /fanout, where a message from one connection goes to all connections of that path.
// gws, gorilla and coder have AG-UI token streams on /ws besides. gnet and nbio have event loops and heed --loops.
//
// With --tls they serve wss, with a certificate made at the start. gnet has no TLS.
//
// The folder epollc has one more rival, in C: the floor that the kernel leaves to anybody.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

// fanoutPath is where messages go to everybody.
const fanoutPath = "/fanout"

// setup is how a server is to run.
type setup struct {
	addr  string
	loops int
	tls   bool
}

type rival struct {
	name   string
	module string
	serve  func(setup) error // returns when the server has failed
}

var rivals = []rival{
	{"gnet", "github.com/panjf2000/gnet/v2", serveGnet},
	{"nbio", "github.com/lesismal/nbio", serveNbio},
	{"gobwas", "github.com/gobwas/ws", serveGobwas},
	{"gobwas-corked", "github.com/gobwas/ws", serveGobwasCorked},
	{"gws", "github.com/lxzan/gws", serveGws},
	{"gorilla", "github.com/gorilla/websocket", serveGorilla},
	{"coder", "github.com/coder/websocket", serveCoder},
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == "versions" {
		return printVersions(stdout, stderr)
	}
	for _, r := range rivals {
		if len(args) == 0 || args[0] != r.name {
			continue
		}
		fs := flag.NewFlagSet(r.name, flag.ContinueOnError)
		fs.SetOutput(stderr)
		var s setup
		fs.StringVar(&s.addr, "addr", "127.0.0.1:9001", "`address` to listen on")
		fs.IntVar(&s.loops, "loops", 1, "`number` of event loops, where there are any")
		if r.name != "gnet" {
			fs.BoolVar(&s.tls, "tls", false, "serve wss, with a certificate of its own")
		}
		if fs.Parse(args[1:]) != nil {
			return 2
		}
		if s.loops < 1 || fs.NArg() > 0 {
			fmt.Fprintf(stderr, "rivals %s: --loops must be positive, and there are no arguments\n", r.name)
			return 2
		}
		fmt.Fprintf(stderr, "rivals %s: %v\n", r.name, r.serve(s))
		return 1
	}
	var names []string
	for _, r := range rivals {
		names = append(names, r.name)
	}
	fmt.Fprintf(stderr, "usage: rivals %s [--addr host:port] [--loops n] [--tls]\n       rivals versions\n", strings.Join(names, "|"))
	return 2
}

// printVersions says which version of each library was linked in: "gnet v2.9.7".
func printVersions(stdout, stderr io.Writer) int {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		fmt.Fprintln(stderr, "rivals versions: built without module information")
		return 1
	}
	versions := make(map[string]string)
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		versions[m.Path] = m.Version
	}
	for _, r := range rivals {
		fmt.Fprintln(stdout, r.name, versions[r.module])
	}
	return 0
}
