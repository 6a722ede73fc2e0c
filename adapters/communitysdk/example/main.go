// Command example serves two agents that were written for the community Go SDK of AG-UI: one that
// emits its event values, at /ws, and one that writes them to an SSEWriter, at /sse-agent. Run it
// with the first line here, and talk to it with the second in the directory of agloop:
//
//	go run ./example
//	go run ./cmd/agloop run --message hello
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net/http"

	"github.com/ag-ui-protocol/ag-ui/sdks/community/go/pkg/core/events"
	"github.com/ag-ui-protocol/ag-ui/sdks/community/go/pkg/core/types"
	"github.com/ag-ui-protocol/ag-ui/sdks/community/go/pkg/encoding/sse"
	"github.com/agloop/agloop/adapters/communitysdk"
	"github.com/agloop/agloop/run"
	"github.com/agloop/agloop/server"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`address` to listen on")
	flag.Parse()
	mux := http.NewServeMux()
	mux.Handle("/sse-agent", server.New(server.Config{Agent: writing}))
	srv := server.New(server.Config{Agent: emitting, HTTP: mux})
	log.Printf("agents at ws://%[1]s/ws and ws://%[1]s/sse-agent", *addr)
	log.Fatal(srv.Serve(*addr))
}

// emitting is an agent whose function needs no more than a place to send events to.
var emitting = communitysdk.Agent(echo, logNote)

// echo says what the user has said last. Nothing in it knows of agloop.
func echo(ctx context.Context, in types.RunAgentInput, emit func(events.Event) error) error {
	id := events.GenerateMessageID()
	for _, ev := range []events.Event{
		events.NewRunStartedEvent(in.ThreadID, in.RunID),
		events.NewStateSnapshotEvent(map[string]any{"messages": len(in.Messages)}),
		events.NewTextMessageStartEvent(id, events.WithRole("assistant")),
		events.NewTextMessageContentEvent(id, "You said: "+lastWords(in)),
		events.NewTextMessageEndEvent(id),
		events.NewRunFinishedEvent(in.ThreadID, in.RunID),
	} {
		if err := emit(ev); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// writing is an agent whose function writes server-sent events, as an HTTP handler does.
var writing = run.AgentFunc(func(ctx context.Context, r *run.Run) error {
	var in types.RunAgentInput
	if err := communitysdk.ToInput(r.Input, &in); err != nil {
		return err
	}
	return stream(ctx, communitysdk.SSE(r, logNote), in)
})

// stream is echo for a response. Nothing in it knows of agloop.
func stream(ctx context.Context, w io.Writer, in types.RunAgentInput) error {
	out := sse.NewSSEWriter()
	return echo(ctx, in, func(ev events.Event) error { return out.WriteEvent(ctx, w, ev) })
}

func lastWords(in types.RunAgentInput) string {
	for i := len(in.Messages) - 1; i >= 0; i-- {
		if text, ok := in.Messages[i].ContentString(); ok && in.Messages[i].Role == types.RoleUser {
			return text
		}
	}
	return "nothing"
}

func logNote(n communitysdk.Note) { log.Printf("%s: %s: %s", n.Event, n.Path, n.What) }
