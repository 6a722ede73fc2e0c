package agui

import "encoding/json"

// AgentCapabilities says what an agent can do, in the form of AG-UI 1.0, which defines no way to ask
// for it. All of it is optional: nil is not declared, which differs from false. Its JSON is that of
// encoding/json.
type AgentCapabilities struct {
	Identity       *IdentityCapabilities       `json:"identity,omitempty"`
	Transport      *TransportCapabilities      `json:"transport,omitempty"`
	Tools          *ToolsCapabilities          `json:"tools,omitempty"`
	Output         *OutputCapabilities         `json:"output,omitempty"`
	State          *StateCapabilities          `json:"state,omitempty"`
	MultiAgent     *MultiAgentCapabilities     `json:"multiAgent,omitempty"`
	Reasoning      *ReasoningCapabilities      `json:"reasoning,omitempty"`
	Multimodal     *MultimodalCapabilities     `json:"multimodal,omitempty"`
	Execution      *ExecutionCapabilities      `json:"execution,omitempty"`
	HumanInTheLoop *HumanInTheLoopCapabilities `json:"humanInTheLoop,omitempty"`
	// Custom is a JSON object, open by key, for what has no place above.
	Custom json.RawMessage `json:"custom,omitempty"`
}

// IdentityCapabilities says who the agent is, for people who choose one.
type IdentityCapabilities struct {
	Name *string `json:"name,omitempty"`
	// Type is the framework that the agent is made with.
	Type        *string `json:"type,omitempty"`
	Description *string `json:"description,omitempty"`
	// Version is the agent's own.
	Version *string `json:"version,omitempty"`
	// Provider is who maintains the agent.
	Provider         *string `json:"provider,omitempty"`
	DocumentationURL *string `json:"documentationUrl,omitempty"`
	// Metadata is a JSON object, open by key.
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// TransportCapabilities says how the agent is reached.
type TransportCapabilities struct {
	// Streaming is by SSE, HTTPBinary by protobuf over HTTP.
	Streaming  *bool `json:"streaming,omitempty"`
	Websocket  *bool `json:"websocket,omitempty"`
	HTTPBinary *bool `json:"httpBinary,omitempty"`
	// PushNotifications are calls of a URL of the client's after a run.
	PushNotifications *bool `json:"pushNotifications,omitempty"`
	// Resumable is a stream that goes on behind what the client has.
	Resumable *bool `json:"resumable,omitempty"`
}

// ToolsCapabilities says which tools the agent has and takes.
type ToolsCapabilities struct {
	// Supported false says that the agent calls no tools, even where Items are there.
	Supported *bool `json:"supported,omitempty"`
	// Items are the agent's own tools; nil is absent.
	Items []Tool `json:"items,omitzero"`
	// ParallelCalls are several at once.
	ParallelCalls *bool `json:"parallelCalls,omitempty"`
	// ClientProvided are those of RunAgentInput.Tools.
	ClientProvided *bool `json:"clientProvided,omitempty"`
}

// OutputCapabilities says in which forms the agent answers.
type OutputCapabilities struct {
	// StructuredOutput is JSON by a schema that is given.
	StructuredOutput *bool `json:"structuredOutput,omitempty"`
	// SupportedMimeTypes is absent when nil: the agent writes plain text.
	SupportedMimeTypes []string `json:"supportedMimeTypes,omitzero"`
}

// StateCapabilities says what the agent does with shared state.
type StateCapabilities struct {
	// Snapshots is STATE_SNAPSHOT, Deltas STATE_DELTA.
	Snapshots *bool `json:"snapshots,omitempty"`
	Deltas    *bool `json:"deltas,omitempty"`
	// Memory reaches beyond the thread.
	Memory *bool `json:"memory,omitempty"`
	// PersistentState is kept from run to run of a thread.
	PersistentState *bool `json:"persistentState,omitempty"`
}

// MultiAgentCapabilities says how the agent works with others.
type MultiAgentCapabilities struct {
	Supported *bool `json:"supported,omitempty"`
	// Delegation keeps control, Handoffs gives it away.
	Delegation *bool `json:"delegation,omitempty"`
	Handoffs   *bool `json:"handoffs,omitempty"`
	// Subagents are those that it may call; nil is absent.
	Subagents []SubagentInfo `json:"subagents,omitzero"`
}

// SubagentInfo names a subagent that an agent may call.
type SubagentInfo struct {
	Name        string  `json:"name"`
	Description *string `json:"description,omitempty"`
}

// ReasoningCapabilities says what is seen of the agent's reasoning.
type ReasoningCapabilities struct {
	Supported *bool `json:"supported,omitempty"`
	// Streaming is piece by piece.
	Streaming *bool `json:"streaming,omitempty"`
	// Encrypted is by encrypted values in place of text.
	Encrypted *bool `json:"encrypted,omitempty"`
}

// MultimodalCapabilities says which media the agent takes and makes.
type MultimodalCapabilities struct {
	Input  *MultimodalInputCapabilities  `json:"input,omitempty"`
	Output *MultimodalOutputCapabilities `json:"output,omitempty"`
}

// MultimodalInputCapabilities says which media the agent takes.
type MultimodalInputCapabilities struct {
	Image *bool `json:"image,omitempty"`
	Audio *bool `json:"audio,omitempty"`
	Video *bool `json:"video,omitempty"`
	PDF   *bool `json:"pdf,omitempty"`
	// File is any other kind of file.
	File *bool `json:"file,omitempty"`
}

// MultimodalOutputCapabilities says which media the agent makes.
type MultimodalOutputCapabilities struct {
	Image *bool `json:"image,omitempty"`
	Audio *bool `json:"audio,omitempty"`
}

// ExecutionCapabilities says how far the agent goes. Numbers are at most 2^53-1 and not negative.
type ExecutionCapabilities struct {
	CodeExecution *bool `json:"codeExecution,omitempty"`
	// Sandboxed is how code is executed.
	Sandboxed *bool `json:"sandboxed,omitempty"`
	// MaxIterations is how many rounds of reasoning and calls a run has.
	MaxIterations *int64 `json:"maxIterations,omitempty"`
	// MaxExecutionTime is how long a run takes, in milliseconds.
	MaxExecutionTime *int64 `json:"maxExecutionTime,omitempty"`
}

// HumanInTheLoopCapabilities says what people may do in a run.
type HumanInTheLoopCapabilities struct {
	Supported *bool `json:"supported,omitempty"`
	// Approvals are asked for before an action.
	Approvals *bool `json:"approvals,omitempty"`
	// Interventions change what the agent is about to do.
	Interventions *bool `json:"interventions,omitempty"`
	Feedback      *bool `json:"feedback,omitempty"`
	// Interrupts are those of Outcome, answered by RunAgentInput.Resume; with ApproveWithEdits the
	// answer may change the arguments of a call.
	Interrupts       *bool `json:"interrupts,omitempty"`
	ApproveWithEdits *bool `json:"approveWithEdits,omitempty"`
}
