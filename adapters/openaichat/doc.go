// Package openaichat answers runs by chat completions of openai-go (github.com/openai/openai-go/v3):
// of OpenAI, and of the many servers that speak its API.
//
//	agent := &openaichat.Agent{Client: openai.NewClient(), Model: "gpt-5.1"}
//	err := server.New(server.Config{Agent: agent}).Serve(":8080")
//
// An [Agent] asks for a completion, runs those tools that are its own, asks again, and leaves the
// others to the frontend. Whoever wants to decide more takes the parts: [Params] makes a request of an
// input, [Emit] emits what a stream says.
//
//	of the stream            AG-UI
//	content                  TEXT_MESSAGE_*
//	refusal                  TEXT_MESSAGE_* of a message whose metadata has "refusal": true
//	reasoning_content,       REASONING_*, where a server sends it
//	reasoning
//	tool_calls               TOOL_CALL_*, with the id of the provider; all calls of an answer belong to one
//	                         message
//	usage                    usage of the terminal event
//	finish_reason            Reply.FinishReason; an Agent fails a run whose answer was cut off
//
// The end of a run's context closes the stream, and a client that reads slowly slows it. Only the first choice of
// a completion is read; audio and the retired function_call are not.
package openaichat
