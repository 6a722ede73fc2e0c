// Command example serves an agent whose model answers by chat completions, with a tool that runs here.
// With OPENAI_API_KEY it asks OpenAI, with -base-url any server that speaks that API, such as
// http://localhost:11434/v1 of Ollama; without both it asks a stand-in for a model that runs in this
// process. Run it with the first line here, and talk to it with the second in the directory of agloop:
//
//	go run ./example
//	go run ./cmd/agloop run --message "What time is it?"
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/agloop/agloop/adapters/openaichat"
	"github.com/agloop/agloop/run"
	"github.com/agloop/agloop/server"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`address` to listen on")
	base := flag.String("base-url", "", "`URL` of the API; none is OpenAI's, or a stand-in when there is no key")
	model := flag.String("model", "gpt-5.1", "`name` of the model")
	flag.Parse()
	var opts []option.RequestOption // the key comes from the environment
	switch {
	case *base != "":
		opts = append(opts, option.WithBaseURL(*base))
	case os.Getenv("OPENAI_API_KEY") == "":
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		go func() { log.Fatal(http.Serve(ln, http.HandlerFunc(standIn))) }()
		log.Print("no OPENAI_API_KEY: a stand-in answers")
		opts = append(opts, option.WithBaseURL("http://"+ln.Addr().String()), option.WithAPIKey("none"))
	}
	log.Printf("an agent at ws://%s/ws", *addr)
	log.Fatal(server.New(server.Config{Agent: newAgent(*model, opts...)}).Serve(*addr))
}

// newAgent is an agent that knows the time.
func newAgent(model string, opts ...option.RequestOption) run.Agent {
	clock := openaichat.Tool{
		Definition: openai.FunctionDefinitionParam{
			Name: "clock", Description: openai.String("The time of day."),
			Parameters: openai.FunctionParameters{"type": "object", "properties": map[string]any{}},
		},
		Call: func(context.Context, *run.Run, string) (string, error) { return time.Now().Format(time.TimeOnly), nil },
	}
	return &openaichat.Agent{
		Client: openai.NewClient(opts...),
		Model:  model,
		Tools:  []openaichat.Tool{clock},
		Prepare: func(_ context.Context, _ *run.Run, p *openai.ChatCompletionNewParams) error {
			p.Messages = append([]openai.ChatCompletionMessageParamUnion{openai.SystemMessage("You are brief.")}, p.Messages...)
			return nil
		},
	}
}
