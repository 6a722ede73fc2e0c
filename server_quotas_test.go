package agloop_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// stubborn is an agent that heeds no context, and how many of its runs there are.
func stubborn() (release func(), active *atomic.Int32, agent agloop.Agent) {
	goOn := make(chan struct{})
	active = new(atomic.Int32)
	return sync.OnceFunc(func() { close(goOn) }), active, agloop.AgentFunc(func(context.Context, *agloop.Run) error {
		active.Add(1)
		defer active.Add(-1)
		<-goOn
		return nil
	})
}

// TestQuotasOfRuns: each of them is told by name, and counted.
func TestQuotasOfRuns(t *testing.T) {
	for _, tc := range []struct {
		quotas agloop.Quotas
		keys   string // of who asks, one after another
		want   string // by whom the answers are
		reason string
	}{
		{agloop.Quotas{Runs: 2}, "ann bob eve", "ann bob -", "too many runs are active on this server"},
		{agloop.Quotas{RunsPerPrincipal: 1}, "ann ann bob ann", "ann - bob -", "too many runs of this user are active"},
		{agloop.Quotas{RunsPerNetwork: 2}, "ann bob eve", "ann bob -", "too many runs from this network are active"},
		{agloop.Quotas{Runs: 3, RunsPerPrincipal: 1, RunsPerNetwork: 2}, "ann ann bob bob", "ann - bob -", "too many runs of this user are active"},
		{agloop.Quotas{Runs: -1}, "ann ann ann", "ann ann ann", ""},
		{agloop.Quotas{}, "ann ann ann", "ann ann ann", ""},
	} {
		release, active, agent := stubborn()
		srv, addr := serveEach(t, agloop.ServerConfig{Agent: agent, Quotas: tc.quotas})
		t.Cleanup(release)
		var got []string
		var refused uint64
		for key := range strings.FieldsSeq(tc.keys) {
			w := newWireOf(t, srv, addr, key)
			w.send(inputOnce("r"))
			switch ev := w.next(); {
			case ev.Type == "RUN_STARTED":
				got = append(got, key)
			case ev.Type == "RUN_ERROR" && ev.Code == "too_many_runs" && ev.Message == tc.reason:
				got = append(got, "-")
				refused++
			default:
				t.Errorf("%+v: got %+v", tc.quotas, ev)
			}
		}
		if got := strings.Join(got, " "); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.quotas, got, tc.want)
		}
		st := srv.Stats()
		if st.Refusals.RunQuota != refused || st.Refusals.Total() != refused {
			t.Errorf("%+v: counted %+v", tc.quotas, st.Refusals)
		}
		release()
		testkit.Await(t, "the places are free", func() bool { return srv.RunsTaken() == 0 && active.Load() == 0 })
		for key := range strings.FieldsSeq(strings.ReplaceAll(tc.want, "-", "")) { // as many again
			w := newWireOf(t, srv, addr, key)
			w.send(inputOnce("r"))
			if got := w.ends(1); !strings.HasPrefix(got, "r-") {
				t.Errorf("%+v: afterwards %s", tc.quotas, got)
			}
			testkit.Await(t, "the place is free", func() bool { return srv.RunsTaken() == 0 })
		}
	}
}

// TestAnonymousHaveNoQuotaOfAPrincipal: they are not one.
func TestAnonymousHaveNoQuotaOfAPrincipal(t *testing.T) {
	release, active, agent := stubborn()
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agent, Quotas: agloop.Quotas{RunsPerPrincipal: 1}})
	t.Cleanup(release)
	for range 3 {
		w := newWireOf(t, srv, addr, "")
		w.send(inputOnce("r"))
		w.await("RUN_STARTED")
	}
	testkit.Await(t, "all of them run", func() bool { return active.Load() == 3 })
}

// TestReconnectingMakesNoAgents: a run has its place until its agent has returned, though its
// connection is long gone.
func TestReconnectingMakesNoAgents(t *testing.T) {
	const most = 3
	release, active, agent := stubborn()
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agent, Quotas: agloop.Quotas{RunsPerPrincipal: most}})
	t.Cleanup(release)
	refused := 0
	for i := range 50 {
		w := newWireOf(t, srv, addr, "ann")
		w.send(inputOnce("r"))
		switch ev := w.next(); ev.Type {
		case "RUN_ERROR":
			refused++
		case "RUN_STARTED": // before the agent is called, and who goes before that has no agent
			testkit.Await(t, "the agent is called", func() bool { return active.Load() == int32(i-refused+1) })
		default:
			t.Fatalf("got %+v", ev)
		}
		w.Reset()
	}
	testkit.Await(t, "the connections are gone", func() bool { return srv.Stats().Connections == 0 })
	if n := active.Load(); n != most || refused != 50-most || srv.Stats().Refusals.RunQuota != 50-most {
		t.Errorf("%d agents, %d refusals, counted %+v", n, refused, srv.Stats().Refusals)
	}
	other := newWireOf(t, srv, addr, "bob")
	other.send(inputOnce("r"))
	other.await("RUN_STARTED")
	release()
	testkit.Await(t, "all agents have returned", func() bool { return active.Load() == 0 && srv.RunsTaken() == 0 })
}

// TestPlacesAreNotOversold, however many ask at once.
func TestPlacesAreNotOversold(t *testing.T) {
	const most, clients = 5, 40
	release, active, agent := stubborn()
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agent, Quotas: agloop.Quotas{Runs: most, RunsPerPrincipal: most, RunsPerNetwork: most}})
	t.Cleanup(release)
	peers := make([]*testkit.Peer, clients)
	for i := range peers {
		peers[i] = testkit.Dial(t, addr, "Authorization: ann")
	}
	for _, p := range peers {
		p.Put(testkit.Text(inputOnce("r")))
	}
	refused := 0
	for _, p := range peers {
		_, b, err := p.Message()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "too_many_runs") {
			refused++
		}
	}
	if refused != clients-most || srv.RunsTaken() != most {
		t.Errorf("%d refusals, %d places taken", refused, srv.RunsTaken())
	}
	release()
	testkit.Await(t, "all places are free", func() bool { return active.Load() == 0 && srv.RunsTaken() == 0 })
}

// TestQuotaRefusalsInTurn: they stand in line with the answers to other inputs.
func TestQuotaRefusalsInTurn(t *testing.T) {
	gate, agent := gated()
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agent, Quotas: agloop.Quotas{RunsPerPrincipal: 1}})
	first := newWireOf(t, srv, addr, "ann")
	first.send(inputOf("0", 0))
	first.await("RUN_STARTED")
	second := newWireOf(t, srv, addr, "ann")
	second.send(inputOf("1", 0), inputOf("2", 0), `{"threadId":7}`, inputOf("3", 0))
	if got, want := second.ends(4), "too_many_runs too_many_runs invalid_input too_many_runs"; got != want {
		t.Errorf("ends %s, want %s", got, want)
	}
	pass(gate, 2)
	if got := first.ends(1); got != "0" {
		t.Errorf("ends %s", got)
	}
	testkit.Await(t, "the place is free", func() bool { return srv.RunsTaken() == 0 })
	second.send(inputOf("4", 0))
	if got := second.ends(1); got != "4" {
		t.Errorf("then %s", got)
	}
}

// TestRunsWithoutAQuotaAreAsManyAsConnections: churn is bounded by itself.
func TestRunsWithoutAQuotaAreAsManyAsConnections(t *testing.T) {
	release, active, agent := stubborn()
	srv, addr := serve(t, agloop.ServerConfig{Agent: agent, Quotas: agloop.Quotas{Conns: 2}})
	t.Cleanup(release)
	var got []string
	for i := range 4 {
		w := newWire(t, srv, addr)
		w.send(inputOf(fmt.Sprint(i), 0))
		got = append(got, w.next().Type)
		w.Reset()
		testkit.Await(t, "the connection is gone", func() bool { return srv.Stats().Connections == 0 })
	}
	if got := strings.Join(got, " "); got != "RUN_STARTED RUN_STARTED RUN_ERROR RUN_ERROR" || active.Load() != 2 {
		t.Errorf("got %s, %d agents", got, active.Load())
	}
}
