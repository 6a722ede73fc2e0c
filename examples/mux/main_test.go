package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/examples/internal/trial"
	"github.com/agloop/agloop/internal/leaktest"
	"github.com/agloop/agloop/server"
	"github.com/gorilla/websocket"
)

// asProgram in the environment makes the test binary the program.
const asProgram = "AGLOOP_EXAMPLE_MUX"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	leaktest.Main(m)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	p := trial.Start(t, serve)
	if status, body := trial.Fetch(t, "GET", "http://"+p.Addr+"/", nil); status != 200 || body != "The agent is at /ws." {
		t.Errorf("GET / is answered %d %q", status, body)
	}
	if status, _ := trial.Fetch(t, "GET", "http://"+p.Addr+"/ws", nil); status != http.StatusUpgradeRequired {
		t.Errorf("GET /ws is answered %d", status)
	}
	c := trial.Connect(t, "ws://"+p.Addr+"/ws", client.Config{})
	if got := trial.Said(t, c, "3"); got != "1 2 3 " {
		t.Errorf("the agent said %q", got)
	}
	if _, end := trial.Ask(t, c, "three", nil); end.Type() != agui.EventTypeRunError {
		t.Errorf("a run that asks for no number has ended with %s", end.Type())
	}
}

// TestCount: the agent alone, whose second lasts no time.
func TestCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent, began := server.AgentFunc(count), time.Now()
		got := aguitest.Run(t, agent, aguitest.Input("10"))
		got.WantSuccess()
		got.WantText("1 2 3 4 5 6 7 8 9 10 ")
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
		if end := aguitest.Run(t, agent, aguitest.Input("ten")).WantError(""); end.Message != "say a number, and I count to it" {
			t.Errorf("the client reads %q", end.Message)
		}
		s := aguitest.Start(t, agent, aguitest.Input("1000"))
		time.Sleep(250 * time.Millisecond)
		s.Cancel(nil)
		got = s.Wait()
		got.WantCancelled()
		got.WantText("1 2 3 ")
	})
}

// TestDrain: a run that ends soon is let go on.
func TestDrain(t *testing.T) {
	t.Parallel()
	p := trial.Start(t, serve)
	c := trial.Connect(t, "ws://"+p.Addr+"/ws", client.Config{})
	answer, end := trial.Ask(t, c, "5", func(string) { p.Stop() })
	if f, ok := end.(*agui.RunFinished); !ok || f.Outcome != nil || answer != "1 2 3 4 5 " {
		t.Errorf("the agent said %q, and the run has ended with %#v", answer, end)
	}
	p.Wait(t)
}

// TestSignal sends SIGTERM to the program while it counts for one client and another one is silent.
func TestSignal(t *testing.T) {
	t.Parallel()
	cmd, addr, stderr := startProcess(t)
	busy, _, err := trial.Dial(t, "ws://"+addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	silent, _, err := trial.Dial(t, "ws://"+addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := busy.WriteJSON(trial.Input("1000")); err != nil {
		t.Fatal(err)
	}
	var ev event
	for ev.Type != "TEXT_MESSAGE_CONTENT" {
		ev = nextEvent(t, busy)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := trial.CloseCode(t, silent); code != websocket.CloseGoingAway {
		t.Errorf("the silent client was told %d", code)
	}
	for ev.Type != "RUN_FINISHED" && ev.Type != "RUN_ERROR" {
		ev = nextEvent(t, busy)
	}
	if ev.Type != "RUN_FINISHED" || ev.Outcome.Type != "cancelled" {
		t.Errorf("the run has ended with %+v", ev)
	}
	if code := trial.CloseCode(t, busy); code != websocket.CloseGoingAway {
		t.Errorf("the busy client was told %d", code)
	}
	logged, err := io.ReadAll(stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program has ended with %v", err)
	}
	if !strings.Contains(string(logged), "path=/ws status=0") {
		t.Errorf("the middleware logged %q", logged)
	}
}

// startProcess runs the program in a process of its own. What it logs from then on is to be read
// from stderr.
func startProcess(t *testing.T) (cmd *exec.Cmd, addr string, stderr io.Reader) {
	t.Helper()
	cmd = exec.CommandContext(trial.Within(t), os.Args[0], "-addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // unless it has ended
		_ = cmd.Wait()
	})
	r := bufio.NewReader(pipe)
	line, err := r.ReadString('\n')
	found := regexp.MustCompile(`http://([^/]+)/`).FindStringSubmatch(line)
	if found == nil {
		t.Fatalf("the program said %q, %v", line, err)
	}
	return cmd, found[1], r
}

// event is what this test looks at of an event.
type event struct {
	Type    string
	Outcome struct{ Type string }
}

func nextEvent(t *testing.T, conn *websocket.Conn) (ev event) {
	t.Helper()
	_, b, err := conn.ReadMessage()
	if err != nil {
		t.Fatalf("waiting for an event: %v", err)
	}
	if err := json.Unmarshal(b, &ev); err != nil {
		t.Fatal(err)
	}
	return ev
}
