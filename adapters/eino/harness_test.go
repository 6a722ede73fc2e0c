package eino_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/agloop/agloop/internal/leaktest"
	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// turn is one answer of a model: it streams to out.
type turn func(ctx context.Context, in []*schema.Message, out *schema.StreamWriter[*schema.Message])

// fake is a model whose answers are scripted.
type fake struct {
	t     testing.TB
	turns []turn
	tools []string // that are bound

	mu    *sync.Mutex
	asked *[][]*schema.Message
}

func newFake(t testing.TB, turns ...turn) fake {
	return fake{t: t, turns: turns, mu: new(sync.Mutex), asked: new([][]*schema.Message)}
}

// requests are what the model was asked.
func (f fake) requests() [][]*schema.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *f.asked
}

func (f fake) Generate(context.Context, []*schema.Message, ...model.Option) (*schema.Message, error) {
	return nil, errors.New("not asked for a stream")
}

func (f fake) WithTools(tools []*schema.ToolInfo) (model.ToolCallingChatModel, error) {
	f.tools = nil
	for _, t := range tools {
		f.tools = append(f.tools, t.Name)
	}
	return f, nil
}

func (f fake) Stream(ctx context.Context, in []*schema.Message, _ ...model.Option) (*schema.StreamReader[*schema.Message], error) {
	f.mu.Lock()
	n := len(*f.asked)
	*f.asked = append(*f.asked, in)
	f.mu.Unlock()
	if n >= len(f.turns) {
		f.t.Errorf("asked %d times", n+1)
		return nil, errors.New("no answer left")
	}
	reader, writer := schema.Pipe[*schema.Message](1)
	go func() {
		defer writer.Close()
		f.turns[n](ctx, in, writer)
	}()
	return reader, nil
}

// stream is a turn of these chunks.
func stream(chunks ...*schema.Message) turn {
	return func(_ context.Context, _ []*schema.Message, out *schema.StreamWriter[*schema.Message]) {
		for _, c := range chunks {
			c := *c // Eino may change it
			c.Role = schema.Assistant
			if out.Send(&c, nil) {
				return
			}
		}
	}
}

func text(s string) *schema.Message      { return &schema.Message{Content: s} }
func reasoning(s string) *schema.Message { return &schema.Message{ReasoningContent: s} }

func call(index int, id, name, args string) *schema.Message {
	return &schema.Message{ToolCalls: []schema.ToolCall{{Index: &index, ID: id, Function: schema.FunctionCall{Name: name, Arguments: args}}}}
}

// end is the last chunk of an answer.
func end(reason string) *schema.Message {
	return &schema.Message{ResponseMeta: &schema.ResponseMeta{FinishReason: reason, Usage: &schema.TokenUsage{
		PromptTokens: 10, CompletionTokens: 5, TotalTokens: 15, PromptTokenDetails: schema.PromptTokenDetails{CachedTokens: 4},
	}}}
}

// own is a tool that runs in the agent.
type own struct {
	name string
	f    func(ctx context.Context, args string) (string, error)
}

func (t own) Info(context.Context) (*schema.ToolInfo, error) {
	return &schema.ToolInfo{Name: t.name, Desc: "a tool"}, nil
}

func (t own) InvokableRun(ctx context.Context, args string, _ ...tool.Option) (string, error) {
	return t.f(ctx, args)
}

// weather is a tool that knows the weather.
func weather() tool.BaseTool {
	return own{"weather", func(_ context.Context, args string) (string, error) { return "rain for " + args, nil }}
}

// approve is a tool that asks before it does anything.
func approve() tool.BaseTool {
	return own{"approve", func(ctx context.Context, _ string) (string, error) {
		target, has, data := tool.GetResumeContext[any](ctx)
		switch {
		case !target:
			return "", tool.Interrupt(ctx, "May I?")
		case !has || data == nil:
			return "no", nil
		}
		if m, ok := data.(map[string]any); ok && m["approved"] == true {
			return "yes", nil
		}
		return "perhaps", nil
	}}
}

// chat is an agent of a model and tools.
func chat(t testing.TB, m model.ToolCallingChatModel, tools ...tool.BaseTool) adk.Agent {
	t.Helper()
	return named(t, "root", m, nil, tools...)
}

func named(t testing.TB, name string, m model.ToolCallingChatModel, retry *adk.ModelRetryConfig, tools ...tool.BaseTool) adk.Agent {
	t.Helper()
	a, err := adk.NewChatModelAgent(t.Context(), &adk.ChatModelAgentConfig{
		Name: name, Description: "answers", Model: m, ModelRetryConfig: retry,
		ToolsConfig: adk.ToolsConfig{ToolsNodeConfig: compose.ToolsNodeConfig{Tools: tools}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// checkpoints keeps checkpoints in memory.
type checkpoints struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (c *checkpoints) Get(_ context.Context, id string) ([]byte, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.all[id]
	return b, ok, nil
}

func (c *checkpoints) Set(_ context.Context, id string, b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = make(map[string][]byte)
	}
	c.all[id] = b
	return nil
}

// odd is an agent that sends events of its own.
type odd struct{ events []*adk.AgentEvent }

func (odd) Name(context.Context) string        { return "odd" }
func (odd) Description(context.Context) string { return "sends events of its own" }

func (o odd) Run(context.Context, *adk.AgentInput, ...adk.AgentRunOption) *adk.AsyncIterator[*adk.AgentEvent] {
	iter, gen := adk.NewAsyncIteratorPair[*adk.AgentEvent]()
	for _, ev := range o.events {
		gen.Send(ev)
	}
	gen.Close()
	return iter
}
