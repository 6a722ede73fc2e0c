package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/agloop/agloop/client"
)

// clientConfig is what a client process is told.
type clientConfig struct {
	Dir       string // where it keeps what is to outlive it
	Addr      string
	Number    int // of the client
	Principal string
	Runs      int // what options has; they decide which runs are whose
	Clients   int
	Events    int
	Seed      uint64
	Life      int // how often it was started before
}

func (c *clientConfig) options() options {
	return options{runs: c.Runs, events: c.Events, seed: c.Seed}
}

// The lines that a client process prints. Anything else is a fault.
const (
	lineStored = "stored %s %d" // of a run, how many events
	lineDone   = "done"         // all runs have ended
)

// progress is what a client process knows of a run: what its events have made, and the cursor behind
// them. Both are stored in one line, by one write.
type progress struct {
	Judge  judge
	Cursor client.Cursor
}

// clientProcess makes the runs of one client. It may be killed wherever it is; the next one goes on.
func clientProcess(args []string) int {
	var cfg clientConfig
	err := json.Unmarshal([]byte(strings.Join(args, "")), &cfg)
	if err == nil {
		err = cfg.run(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(lineDone)
	return 0
}

func (c *clientConfig) run(ctx context.Context) error {
	who, err := c.identity()
	if err != nil {
		return err
	}
	state := &store{dir: c.Dir, rnd: random(c.Seed, fmt.Sprint("store ", c.Number, c.Life))}
	s, err := dial(ctx, c.Addr, who, func(cfg *client.Config) { cfg.Cursors = state })
	if err != nil {
		return err
	}
	defer s.Close()
	if who.secret != s.who.secret { // before there is a run in that session
		if who.secret != "" {
			return errors.New("the session is gone")
		}
		if err := os.WriteFile(c.path("secret.new"), []byte(s.who.secret), 0o600); err != nil {
			return err
		}
		if err := os.Rename(c.path("secret.new"), c.path("secret")); err != nil {
			return err
		}
	}
	errs := make(chan error, c.Runs)
	var all sync.WaitGroup
	for _, p := range plansOf(c.options(), c.Number, c.Clients) {
		k, err := state.open(p.run)
		if err != nil {
			return err
		}
		if k.Judge.Ends == 0 {
			all.Go(func() { errs <- c.make(ctx, s, p, k) })
		}
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// identity is who the client is, as far as is known.
func (c *clientConfig) identity() (who identity, err error) {
	secret, err := os.ReadFile(c.path("secret"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return identity{c.Principal, string(secret)}, err
}

// path is where something is kept.
func (c *clientConfig) path(name string) string { return filepath.Join(c.Dir, name) }

// make makes a run, or goes on with it. The input is the same each time, so where nothing is known of
// the run it is started again, and must be the one that there is.
func (c *clientConfig) make(ctx context.Context, s *socket, p *plan, k *kept) error {
	asked := false
	var cancelling sync.WaitGroup
	defer cancelling.Wait()
	cancel := func() { // when it is due; the next life does it again
		if p.cancelAt >= 0 && k.Judge.Started && k.Judge.Next >= p.cancelAt && !asked {
			asked = true
			cancelling.Go(func() { _ = s.Cancel(ctx, p.thread, p.run) })
		}
	}
	cancel() // the life before may have had all events, and have been killed as it asked
	for ev, err := range s.Run(ctx, script{p.run}.input(p.thread, p.wait())) {
		if err != nil {
			return fmt.Errorf("run %s, place %d: %w", p.run, k.Judge.Next, err)
		}
		k.Judge.hear(ev)
		cancel()
	}
	return nil
}

// store keeps the progress of runs, each in a file of lines of which the last one counts. It is the
// client's CursorStore: Save is called when the events up to a cursor have been applied, and no other.
type store struct {
	// Immutable.
	dir string

	// Any goroutine, under mu.
	mu   sync.Mutex
	runs map[string]*kept
	rnd  *rand.Rand
}

// kept is the progress of one run and its file. It belongs to the goroutine of the run.
type kept struct {
	progress
	file *os.File
}

// open reads what is kept of a run.
func (s *store) open(run string) (*kept, error) {
	file, err := os.OpenFile(filepath.Join(s.dir, run), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	k := &kept{progress{Judge: judge{Run: run}}, file}
	b, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	whole := bytes.LastIndexByte(b, '\n') + 1 // behind that lies what was being written at the end of a life
	if lines := bytes.Split(b[:whole], []byte("\n")); len(lines) > 1 {
		err = json.Unmarshal(lines[len(lines)-2], &k.progress)
	}
	if err == nil {
		err = file.Truncate(int64(whole))
	}
	if err == nil {
		_, err = file.Seek(int64(whole), io.SeekStart)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs == nil {
		s.runs = make(map[string]*kept)
	}
	s.runs[run] = k
	return k, err
}

// of is what is kept of a run that is open.
func (s *store) of(run string) *kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[run]
}

// Load implements client.CursorStore.
func (s *store) Load(_, run string) (client.Cursor, error) { return s.of(run).Cursor, nil }

// Save implements client.CursorStore. Not every event is stored, but every last one.
func (s *store) Save(_, run string, at client.Cursor) error {
	k := s.of(run)
	if k.Judge.Ends == 0 && s.leaves() {
		return nil
	}
	k.Cursor = at
	line, err := json.Marshal(&k.progress)
	if err == nil {
		_, err = k.file.Write(append(line, '\n'))
	}
	if err == nil {
		_, err = fmt.Printf(lineStored+"\n", run, k.Judge.Next)
	}
	return err
}

// leaves reports whether a write is left out.
func (s *store) leaves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rnd.IntN(3) == 0
}
