// Command reencode reads events from standard input, one a line, and writes what package event
// makes of them: decoded and encoded again. With -input it does so for RunAgentInput objects. The
// official schemas then judge the result.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/agloop/agloop/codec/event"
)

func main() {
	input := flag.Bool("input", false, "the lines are RunAgentInput objects")
	flag.Parse()
	again := events(new(event.Decoder))
	if *input {
		again = inputs
	}
	if err := each(os.Stdin, os.Stdout, again); err != nil {
		fmt.Fprintln(os.Stderr, "reencode:", err)
		os.Exit(1)
	}
}

// each calls again for every line; lines end in LF only, for U+2028 is text.
func each(r io.Reader, w io.Writer, again func([]byte) ([]byte, error)) error {
	in, out := bufio.NewReader(r), bufio.NewWriter(w)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimSuffix(line, []byte("\n")); len(line) > 0 {
			b, err := again(line)
			if err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			out.Write(append(b, '\n'))
		}
		if err == io.EOF {
			return out.Flush()
		}
		if err != nil {
			return err
		}
	}
}

func events(d *event.Decoder) func([]byte) ([]byte, error) {
	return func(line []byte) ([]byte, error) {
		ev, _, err := d.DecodeEvent(line)
		if err != nil {
			return nil, err
		}
		if ev == nil {
			return nil, fmt.Errorf("dropped %s", line)
		}
		return event.Append(nil, ev)
	}
}

func inputs(line []byte) ([]byte, error) {
	in, _, err := event.DecodeRunAgentInput(line)
	if err != nil {
		return nil, err
	}
	return event.AppendRunAgentInput(nil, in)
}
