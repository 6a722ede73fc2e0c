// Command judge compares what agloop makes of events and streams with what the official client does: the
// sample data is changed in many ways, and a reader, a sender and the client judge each result. Where
// they differ the difference must be of a class that is listed in classes.go and explained in
// docs/agui.md. Anything else is printed, and the status is 1.
//
//	go run ./e2e/judge -events 100000 -streams 100000
//
// It needs node, and the packages of e2e/package.json.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	events := flag.Int("events", 5000, "how many changed events; 100 at least")
	streams := flag.Int("streams", 5000, "how many streams; 100 at least")
	seed := flag.Uint64("seed", 0, "makes the same cases again; 0 is another one each time")
	dir := flag.String("dir", "e2e/judge", "the folder of reference.mjs, from the root of the repository")
	flag.Parse()
	if *events < 100 || *streams < 100 {
		fmt.Fprintln(os.Stderr, "judge: -events and -streams must be 100 at least")
		os.Exit(2)
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	c, err := loadCorpus(filepath.Join(*dir, "..", "..", "agui", "testdata"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(2)
	}
	j := newJudge(c, *seed)
	if err := j.run(*dir, *events, *streams); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(2)
	}
	if !j.report(os.Stdout) {
		os.Exit(1)
	}
}

// loadCorpus reads the sample data. Lines end in LF alone.
func loadCorpus(dir string) (*corpus, error) {
	lines := func(name string) ([][]byte, error) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		return bytes.Split(bytes.TrimSpace(data), []byte("\n")), err
	}
	var events []string
	valid, err := lines("events.ndjson")
	if err != nil {
		return nil, err
	}
	for _, line := range valid {
		events = append(events, string(line))
	}
	invalid, err := lines("invalid.ndjson")
	if err != nil {
		return nil, err
	}
	for _, line := range invalid {
		var c struct{ Event json.RawMessage }
		if err := json.Unmarshal(line, &c); err != nil {
			return nil, err
		}
		events = append(events, string(c.Event))
	}
	inputs, err := lines("run_inputs.ndjson")
	if err != nil {
		return nil, err
	}
	for _, line := range inputs {
		events = append(events, fmt.Sprintf(`{"type":"RUN_STARTED","threadId":"t","runId":"r","input":%s}`, line))
	}
	c := newCorpus(events)
	for _, line := range valid {
		c.agreed = append(c.agreed, string(line))
	}
	sequences, err := lines("sequences.ndjson")
	if err != nil {
		return nil, err
	}
	for _, line := range sequences {
		var s struct{ Events []json.RawMessage }
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, err
		}
		texts := make([]string, len(s.Events))
		for i, raw := range s.Events {
			texts[i] = string(raw)
		}
		c.sequences = append(c.sequences, texts)
	}
	return c, nil
}
