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
//	nethttp   no WebSocket: Server-Sent Events, as they are written by hand
//
// Each echoes on any path, but for /fanout, where a message from one connection goes to all connections of that path.
// gws, gorilla and coder have AG-UI token streams on /ws besides; nethttp has them, and nothing else, for a POST to /agui. gnet and nbio have event loops and heed --loops.
//
// With --tls they serve wss, with a certificate made at the start. gnet has no TLS.
//
// With --deflate what gws, gorilla and coder send is compressed (permessage-deflate, each at its library's default level), if the
// client offers it: takeover keeps a context between messages, none does not. gorilla has no takeover.
//
// The folder epollc has one more rival, in C: the floor that the kernel leaves to anybody.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

// fanoutPath is where messages go to everybody.
const fanoutPath = "/fanout"

// setup is how a server is to run.
type setup struct {
	addr  string
	loops int
	tls   bool
	// deflate is how what is sent may refer to what was sent before: takeover, none; "" is no compression.
	deflate string
}

// leastDeflated is the size from which on messages are compressed, where a library asks. Their defaults, 128 to 512 bytes, would
// leave token events alone. What gws writes with makes no use of its context in messages below 128 bytes.
const leastDeflated = 64

type rival struct {
	name   string
	module string
	serve  func(setup) error // returns when the server has failed

	deflates []string // what --deflate may be
}

var rivals = []rival{
	{"gnet", "github.com/panjf2000/gnet/v2", serveGnet, nil},
	{"nbio", "github.com/lesismal/nbio", serveNbio, nil},
	{"gobwas", "github.com/gobwas/ws", serveGobwas, nil},
	{"gobwas-corked", "github.com/gobwas/ws", serveGobwasCorked, nil},
	{"gws", "github.com/lxzan/gws", serveGws, []string{"takeover", "none"}},
	{"gorilla", "github.com/gorilla/websocket", serveGorilla, []string{"none"}},
	{"coder", "github.com/coder/websocket", serveCoder, []string{"takeover", "none"}},
	{"nethttp", "", serveSSE, nil},
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
		if len(r.deflates) > 0 {
			fs.StringVar(&s.deflate, "deflate", "", "compress what is sent: `context` is "+strings.Join(r.deflates, " or "))
		}
		if fs.Parse(args[1:]) != nil {
			return 2
		}
		if s.loops < 1 || fs.NArg() > 0 {
			fmt.Fprintf(stderr, "rivals %s: --loops must be positive, and there are no arguments\n", r.name)
			return 2
		}
		if s.deflate != "" && !slices.Contains(r.deflates, s.deflate) {
			fmt.Fprintf(stderr, "rivals %s: --deflate is %s\n", r.name, strings.Join(r.deflates, " or "))
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
		if r.module != "" { // else it is Go's own
			fmt.Fprintln(stdout, r.name, versions[r.module])
		}
	}
	return 0
}
