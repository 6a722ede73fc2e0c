// Command example serves an agent of Eino that books a table, and asks before it does. Its model is a
// stand-in, which needs no key: put one of github.com/cloudwego/eino-ext in its place. Run it
// with the first line here, and talk to it with the second in the directory of agloop:
//
//	go run ./example
//	go run ./cmd/agloop run --message "a table for two"
package main

import (
	"context"
	"flag"
	"log"
	"sync"

	"github.com/agloop/agloop/adapters/eino"
	"github.com/agloop/agloop/server"
	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`address` to listen on")
	flag.Parse()
	agent, err := newAgent(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("an agent at ws://%s/ws", *addr)
	log.Fatal(server.New(server.Config{Agent: agent}).Serve(*addr))
}

func newAgent(ctx context.Context) (*eino.Agent, error) {
	waiter, err := adk.NewChatModelAgent(ctx, &adk.ChatModelAgentConfig{
		Name: "waiter", Description: "books tables", Instruction: "You are brief.",
		Model:       standIn{},
		ToolsConfig: adk.ToolsConfig{ToolsNodeConfig: compose.ToolsNodeConfig{Tools: []tool.BaseTool{book{}}}},
	})
	if err != nil {
		return nil, err
	}
	return &eino.Agent{Agent: waiter, Store: new(checkpoints)}, nil
}

// book is a tool that asks before it books.
type book struct{}

func (book) Info(context.Context) (*schema.ToolInfo, error) {
	return &schema.ToolInfo{Name: "book", Desc: "Books a table.", ParamsOneOf: schema.NewParamsOneOfByParams(
		map[string]*schema.ParameterInfo{"for": {Type: schema.String, Desc: "for whom", Required: true}},
	)}, nil
}

func (book) InvokableRun(ctx context.Context, arguments string, _ ...tool.Option) (string, error) {
	asked, _, answer := tool.GetResumeContext[any](ctx)
	if !asked {
		return "", tool.Interrupt(ctx, "Shall I book "+arguments+"?")
	}
	if m, ok := answer.(map[string]any); ok && m["approved"] == true {
		return "booked", nil
	}
	return "not booked", nil
}

// checkpoints keeps checkpoints in memory, where those of threads that nobody goes on with stay: a real
// store lets them expire.
type checkpoints struct{ all sync.Map }

func (c *checkpoints) Get(_ context.Context, id string) ([]byte, bool, error) {
	v, ok := c.all.Load(id)
	if !ok {
		return nil, false, nil
	}
	return v.([]byte), true, nil
}

func (c *checkpoints) Set(_ context.Context, id string, checkpoint []byte) error {
	c.all.Store(id, checkpoint)
	return nil
}
