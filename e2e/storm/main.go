// Command storm tries to break runs that outlive their connection, and fails where it can. It is a
// host and its clients, in three storms: the sockets of clients are killed, then whole client
// processes, then the server. What each client has applied is compared with what the agents have
// emitted, event by event.
//
// Its last line is the sum of the three:
//
//	runs N events N reconnects N lost 0 doubled 0 ends 1.00 per run
//
// The status is 1 unless it reads like that, or when a storm was none. -seed makes the same
// decisions again; what the scheduler and the kernel decide is another matter.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

// options are what a storm is to be.
type options struct {
	runs    int
	sockets int
	events  int // at least, of all runs of a storm
	seed    uint64
	kills   int           // of each client process, at most; of the server half as many
	pace    time.Duration // that a run takes, about
	limit   time.Duration // of a storm
	within  time.Duration // that everybody must know, once connected again, that a run is lost
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case clientCommand:
			dieWithParent()
			os.Exit(clientProcess(os.Args[2:]))
		case serverCommand:
			dieWithParent()
			os.Exit(serverProcess(os.Args[2:]))
		}
	}
	os.Exit(run(os.Args[1:]))
}

// storms are the three, by their names.
var storms = []struct {
	name string
	run  func(context.Context, options, *tally) error
}{
	{"sockets", stormSockets},
	{"clients", stormClients},
	{"server", stormServer},
}

func run(args []string) int {
	o := options{}
	flags := flag.NewFlagSet("storm", flag.ContinueOnError)
	short := flags.Bool("short", false, "a small storm: 80 runs on 16 sockets, 8,000 events")
	only := flags.String("only", "", "one `storm` alone: sockets, clients or server")
	flags.IntVar(&o.runs, "runs", 1000, "runs of each storm")
	flags.IntVar(&o.sockets, "sockets", 150, "sockets of each storm")
	flags.IntVar(&o.events, "events", 100_000, "events of each storm, at least")
	flags.IntVar(&o.kills, "kills", 12, "how often a client process is killed, at most, and twice as often as the server")
	flags.DurationVar(&o.pace, "pace", 5*time.Second, "what a run takes, about")
	flags.DurationVar(&o.limit, "limit", 3*time.Minute, "what a storm may take")
	flags.DurationVar(&o.within, "within", time.Second, "how soon behind a reconnect it must be told that a run is lost")
	flags.Uint64Var(&o.seed, "seed", 0, "what decides; 0 is a new one")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *short {
		given := map[string]bool{}
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		o.shorten(given)
	}
	if o.runs < o.sockets || o.sockets < 1 || o.events < 1 {
		fmt.Fprintln(os.Stderr, "storm: there must be a run for each socket, and events")
		return 2
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	fmt.Println("seed", o.seed)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return o.all(ctx, *only)
}

// shorten makes the storms small, but for what was given.
func (o *options) shorten(given map[string]bool) {
	for name, set := range map[string]func(){
		"runs":    func() { o.runs = 80 },
		"sockets": func() { o.sockets = 16 },
		"events":  func() { o.events = 8000 },
		"kills":   func() { o.kills = 3 },
		"pace":    func() { o.pace = 2 * time.Second },
		"limit":   func() { o.limit = time.Minute },
	} {
		if !given[name] {
			set()
		}
	}
}

// length is how many events a script has: as many as there must be, and what the cancelled runs do
// not emit.
func (o *options) length() int {
	each := (o.events*11/10 + o.runs - 1) / o.runs
	return (each + round - 1) / round * round
}

// all makes the storms and returns the program's status.
func (o *options) all(ctx context.Context, only string) int {
	sum := &tally{}
	for _, s := range storms {
		if only != "" && only != s.name {
			continue
		}
		t := &tally{}
		began := time.Now()
		within, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("it takes longer than %v", o.limit))
		if err := s.run(within, *o, t); err != nil {
			t.fault("%s: %v", s.name, errors.Join(err, context.Cause(within)))
		}
		if t.runs < o.runs {
			t.fault("%s: %d runs, want %d", s.name, t.runs, o.runs)
		}
		awaitQuiet(within, t)
		cancel()
		if t.wrong() && t.faults == 0 {
			t.fault("%s: something was lost or doubled, or a run has not one end", s.name)
		}
		fmt.Printf("%s: %v (%s, %.1f s)\n", s.name, t, strings.Join(t.besides, ", "), time.Since(began).Seconds())
		sum.add(t)
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stderr, "storm: interrupted")
			return 1
		}
	}
	if sum.wrong() || sum.runs == 0 {
		fmt.Fprintln(os.Stderr, "storm: failed; the seed was", o.seed)
	}
	fmt.Println(sum)
	if sum.wrong() || sum.runs == 0 {
		return 1
	}
	return 0
}
