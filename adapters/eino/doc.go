// Package eino runs agents of Eino's ADK (github.com/cloudwego/eino/adk) under agloop.
//
//	agent := &eino.Agent{Agent: chatModelAgent, Store: checkpoints}
//	err := server.New(server.Config{Agent: agent}).Serve(":8080")
//
//	of Eino                      AG-UI
//	message of the assistant     TEXT_MESSAGE_*, REASONING_*, TOOL_CALL_*: one message of the assistant
//	message of a tool            TOOL_CALL_RESULT
//	agent that is not the root   a step of its name
//	interrupt                    RUN_FINISHED with an interrupt for each root cause; the answers of the next
//	                             input resume the checkpoint
//	usage                        usage of the terminal event
//	customized output, action    CUSTOM "customized_output", "customized_action", where it is JSON
//	error                        the agent's error; an attempt that Eino repeats is closed, and the next
//	                             one is another message
//
// Tools of the frontend are [FrontendTools]. Media that a model makes have no events and are left out.
//
// Eino keeps what its model says until it is read, without a bound: a slow reader slows agloop's side
// alone. It ends when its model and tools heed the context of the run.
package eino
