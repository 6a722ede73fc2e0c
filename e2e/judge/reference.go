package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// asked is a case for the reference: an event, or a stream.
type asked struct {
	Event  *string  `json:"event,omitempty"`
	Stream []string `json:"stream,omitempty"`
	Sent   bool     `json:"-"` // the stream is what a sender makes of one
}

// reference has the official client, in one process of node, judge one case after another. next gives
// them, told is called with the answer to each, in the same order.
func reference(dir string, next func() (asked, bool), told func(verdict)) (err error) {
	cmd := exec.Command("node", filepath.Join(dir, "reference.mjs"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	count := make(chan int, 1)
	go func() {
		n := 0
		defer func() { count <- n }()
		defer in.Close()
		w := bufio.NewWriterSize(in, 1<<16)
		defer w.Flush()
		enc := json.NewEncoder(w)
		for c, ok := next(); ok; c, ok = next() {
			if enc.Encode(c) != nil {
				return // the process has ended, which is told below
			}
			n++
		}
	}()
	answers := 0
	for lines := bufio.NewReaderSize(out, 1<<16); ; answers++ {
		line, readErr := lines.ReadBytes('\n')
		if readErr != nil {
			if readErr != io.EOF {
				err = readErr
			}
			break
		}
		var v verdict
		if err = json.Unmarshal(bytes.TrimSpace(line), &v); err != nil {
			break
		}
		told(v)
	}
	_, _ = io.Copy(io.Discard, out)
	if waitErr := cmd.Wait(); waitErr != nil {
		return fmt.Errorf("node: %w", waitErr)
	}
	if n := <-count; err == nil && n != answers {
		err = fmt.Errorf("%d cases, and %d answers", n, answers)
	}
	return err
}
