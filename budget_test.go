package agloop_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// budgets are what things may cost, in bytes of heap and stacks: a third more than what was
// measured with go1.26 on linux/amd64, which stands beside it.
var budgets = []struct {
	what string
	most float64
}{
	{"idle connection", 800}, // 600
	{"active run", 9800},     // 7500, of which its goroutine has most
}

// budgetConnections is over how many the cost of one is measured.
const budgetConnections = 2000

// TestMemoryBudgets holds what an idle connection and an active run cost against their budgets, in
// a server whose clients are in another process.
func TestMemoryBudgets(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector takes memory of its own")
	}
	server := startServer(t, "TestServerOfMemoryBudgets")
	addr := server.say("addr")
	measure := func(kind string) float64 {
		n, err := strconv.ParseFloat(server.say(kind), 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	cost := make([]float64, len(budgets))
	// What is made for the first is no cost of the others.
	warm := testkit.Dial(t, addr)
	warm.Put(testkit.Text(inputOf("warm", 0)))
	if _, _, err := warm.Message(); err != nil {
		t.Fatal(err)
	}
	peers := make([]*testkit.Peer, budgetConnections)
	before := measure("heap")
	for i := range peers {
		peers[i] = testkit.Dial(t, addr)
	}
	cost[0] = (measure("heap") - before) / budgetConnections

	before = measure("heap and stacks")
	for i, p := range peers {
		p.Put(testkit.Text(inputOf(strconv.Itoa(i), 0)))
	}
	server.say("runs")
	cost[1] = (measure("heap and stacks") - before) / budgetConnections
	for i, b := range budgets {
		t.Logf("%s: %.1f bytes, budget %.0f", b.what, cost[i], b.most)
		if cost[i] > b.most {
			t.Errorf("%s: %.1f bytes, more than its budget of %.0f", b.what, cost[i], b.most)
		}
	}
}

// TestServerOfMemoryBudgets is the other process of TestMemoryBudgets.
func TestServerOfMemoryBudgets(t *testing.T) {
	if !isServer(t) {
		return
	}
	cfg := performance()
	cfg.MaxConcurrentConnections = budgetConnections + 1
	srv, addr := serve(t, agloop.ServerConfig{Performance: cfg, Agent: agloop.AgentFunc(func(ctx context.Context, _ *agloop.Run) error {
		<-ctx.Done()
		return ctx.Err()
	})})
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		switch commands.Text() {
		case "addr":
			fmt.Println(addr)
		case "runs":
			testkit.Await(t, "all runs are active", func() bool { return srv.Stats().Runs == budgetConnections+1 })
			fmt.Println("active")
		case "heap":
			fmt.Println(inUse("/memory/classes/heap/objects:bytes"))
		case "heap and stacks":
			fmt.Println(inUse("/memory/classes/heap/objects:bytes", "/memory/classes/heap/stacks:bytes"))
		}
	}
}

// inUse is the sum of metrics of the runtime, in bytes, without garbage.
func inUse(names ...string) (sum uint64) {
	for range 3 { // the first takes out of the pools what the second frees
		runtime.GC()
	}
	for _, name := range names {
		s := []metrics.Sample{{Name: name}}
		metrics.Read(s)
		sum += s[0].Value.Uint64()
	}
	return sum
}
