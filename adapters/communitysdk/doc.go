// Package communitysdk runs agents under agloop that were written for the community Go SDK of AG-UI
// (github.com/ag-ui-protocol/ag-ui/sdks/community/go), with that SDK's own event values and inputs.
//
//	agent := communitysdk.Agent(func(ctx context.Context, in types.RunAgentInput, emit func(events.Event) error) error {
//		return emit(events.NewCustomEvent("ping"))
//	}, nil)
//	err := server.New(server.Config{Agent: agent}).Serve(":8080")
//
// An agent that writes to an SSEWriter of that SDK is given [SSE] in place of its response. Directory
// example has both.
//
// The SDK knows the time before AG-UI 1.0. What it writes differently is translated, see
// [Translate] and [FromInput]; what it does not know is lost to an agent written for it: message
// and tool metadata, subagents, files as sources, encrypted values of calls. A piece of text that ends
// within a character is broken by the SDK itself, which encodes each piece for its own.
//
// The package takes anything with ToJSON, and does not import the SDK.
package communitysdk
