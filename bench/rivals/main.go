// Command rivals runs small WebSocket servers on other libraries, each written the way its users write it, to be
// measured beside this one.
//
//	rivals gnet    --addr 127.0.0.1:9001 --loops 1   echo on a bare gnet reactor: the floor
//	rivals gorilla --addr 127.0.0.1:9001             echo on any path, AG-UI token streams on /ws
//	rivals coder   --addr 127.0.0.1:9001             echo
package main

import (
	"flag"
	"fmt"
	"os"
)

const usage = "usage: rivals gnet|gorilla|coder [--addr host:port] [--loops n]"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	fs := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	addr := fs.String("addr", "127.0.0.1:9001", "address to listen on")
	loops := fs.Int("loops", 1, "event loops, for gnet alone")
	fs.Parse(os.Args[2:])

	var err error
	switch os.Args[1] {
	case "gnet":
		err = serveGnet(*addr, *loops)
	case "gorilla":
		err = serveGorilla(*addr)
	case "coder":
		err = serveCoder(*addr)
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "rivals %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
