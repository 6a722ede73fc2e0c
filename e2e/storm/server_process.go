package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// serverConfig is what a server process is told.
type serverConfig struct {
	Addr   string
	Record string // the file in which it writes what its agent does
	Length int
	Pace   time.Duration
	Seed   uint64
	Life   int // how often it was started before
}

// lineReady is the one line that a server process prints: it takes connections.
const lineReady = "ready"

// record is a line of what agents have done. It outlives its process, since the kernel has it.
type record struct {
	Run   string
	Life  int // of the server
	Truth truth
}

// serverProcess serves until it is killed.
func serverProcess(args []string) int {
	var cfg serverConfig
	err := json.Unmarshal([]byte(strings.Join(args, "")), &cfg)
	if err == nil {
		err = cfg.run()
	}
	fmt.Println(err)
	return 1
}

func (c *serverConfig) run() error {
	file, err := os.OpenFile(c.Record, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	agent := &teller{length: c.Length, pace: c.Pace, seed: c.Seed, note: func(run string, t truth) {
		line, err := json.Marshal(record{run, c.Life, t})
		if err == nil {
			_, err = file.Write(append(line, '\n'))
		}
		if err != nil {
			fmt.Println(err)
		}
	}}
	ln, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return err
	}
	serve(hostConfig(agent), ln)
	fmt.Println(lineReady)
	select {} // until it is killed
}

// readRecords is what the agents of all lives have done: of each run what is known last, and how often
// its agent was called in all.
func readRecords(path string) (map[string]record, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all, calls := make(map[string]record), make(map[string]int)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, err
		}
		if known, ok := all[r.Run]; !ok || known.Life != r.Life || known.Truth.Calls != r.Truth.Calls {
			calls[r.Run]++
		}
		all[r.Run] = r
	}
	for run, r := range all {
		r.Truth.Calls = calls[run]
		all[run] = r
	}
	return all, nil
}
