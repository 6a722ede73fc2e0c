// Command agloop serves a demo of AG-UI over WebSocket, the servers that load and conformance tools
// talk to, and a client that prints the events of a run.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

type command struct {
	name    string
	summary string
	run     func(args []string, stdout, stderr io.Writer) int
}

// commands is a function because help, one of them, lists them.
func commands() []command {
	return []command{
		{"demo", "serve a page where a person talks to a scripted agent", demo},
		{"echo", "send every WebSocket message back as it came", echo},
		{"fanout", "send every WebSocket message to all connections", fanout},
		{"stream", "serve an agent that streams at the rate its client asks for", stream},
		{"run", "run an agent once and print its events", runOnce},
		{"help", "list the commands", help},
	}
}

func main() { os.Exit(dispatch(os.Args[1:], os.Stdout, os.Stderr)) }

func dispatch(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	name := args[0]
	if name == "-h" || name == "-help" || name == "--help" {
		name = "help"
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "agloop: unknown command %q\n\n", name)
	usage(stderr)
	return exitUsage
}

func help(_ []string, stdout, _ io.Writer) int {
	usage(stdout)
	return exitOK
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Usage: agloop COMMAND [FLAGS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\n'agloop COMMAND --help' lists the flags of a command.\n")
}

// newFlags returns the flag set of a command.
func newFlags(name string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("agloop "+name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	return flags
}

// parse reads args, which must all be flags. When ok is false, the command ends with code.
func parse(flags *flag.FlagSet, args []string) (code int, ok bool) {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK, false
	case err != nil:
		return exitUsage, false
	case flags.NArg() > 0:
		fmt.Fprintf(flags.Output(), "%s: unexpected argument %q\n", flags.Name(), flags.Arg(0))
		return exitUsage, false
	}
	return exitOK, true
}

// fail prints err with the name of the command and returns the exit code.
func fail(stderr io.Writer, name string, err error) int {
	fmt.Fprintf(stderr, "agloop %s: %v\n", name, err)
	return exitFailed
}
