package agui

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// RunAgentInput is what a client sends to start a run.
type RunAgentInput struct {
	ThreadID string `json:"threadId"`
	// RunID is never used twice on a thread.
	RunID string `json:"runId"`
	// Messages may be empty; nil is empty.
	Messages []Message `json:"messages"`

	// ProtocolVersion is the version of the client; nil is one from before this member existed.
	ProtocolVersion *string `json:"protocolVersion,omitempty"`
	ParentRunID     *string `json:"parentRunId,omitempty"`

	// State is any JSON value except null; empty reads as {}.
	State json.RawMessage `json:"state,omitempty"`
	// Tools and Context read as empty when nil; the wire tells the two apart.
	Tools   []Tool    `json:"tools,omitzero"`
	Context []Context `json:"context,omitzero"`
	// ForwardedProps is any JSON value except null, passed through untouched.
	ForwardedProps json.RawMessage `json:"forwardedProps,omitempty"`
	// Resume answers the interrupts of the run before.
	Resume []ResumeEntry `json:"resume,omitzero"`
}

// Tool is a tool the client offers.
type Tool struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	// Parameters is any JSON value except null, usually a JSON Schema.
	Parameters json.RawMessage `json:"parameters,omitempty"`
	// Metadata is a JSON object.
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// Context is a fact the client tells the agent.
type Context struct {
	Description string `json:"description"`
	Value       string `json:"value"`
}

// ResumeStatus is the answer to an interrupt. The zero value is not valid.
type ResumeStatus string

// The answers to an interrupt.
const (
	ResumeResolved  ResumeStatus = "resolved"
	ResumeCancelled ResumeStatus = "cancelled"
)

// ResumeEntry answers or abandons one interrupt.
type ResumeEntry struct {
	InterruptID string       `json:"interruptId"`
	Status      ResumeStatus `json:"status"`
	// Payload is any JSON value except null.
	Payload json.RawMessage `json:"payload,omitempty"`
	// Metadata is a JSON object.
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// ProtocolVersion is the version of AG-UI this package speaks.
const ProtocolVersion = "1.0"

const protocolMajor, protocolMinor = 1, 0

// ParseProtocolVersion splits a version of the form MAJOR.MINOR into its numbers, which compare one
// by one: 1.10 is newer than 1.9. A number beyond math.MaxInt counts as that. Anything else is an
// error.
func ParseProtocolVersion(s string) (major, minor int, err error) {
	left, right, ok := strings.Cut(s, ".")
	if ok {
		if major, ok = versionNumber(left); ok {
			if minor, ok = versionNumber(right); ok {
				return major, minor, nil
			}
		}
	}
	return 0, 0, fmt.Errorf("agloop: protocol version %.32q is not MAJOR.MINOR", s)
}

func versionNumber(s string) (int, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s) // of one that is too large it returns the largest
	return n, s != "" && (err == nil || errors.Is(err, strconv.ErrRange))
}

// CheckProtocolVersion decides whether a peer that declares version s can be served. A nil s is a
// peer from before versions existed and is served, as is any minor of a known major, and what is no
// version, which counts as a newer one. The error says that its major is unknown; a client that is
// declared such a version goes on. newer reports, with and without an error, that the peer may send
// what this package does not know.
func CheckProtocolVersion(s *string) (newer bool, err error) {
	if s == nil {
		return false, nil
	}
	major, minor, err := ParseProtocolVersion(*s)
	switch {
	case err != nil:
		return true, nil
	case major != protocolMajor:
		return major > protocolMajor, fmt.Errorf("agloop: protocol version %.32q is not supported, this side speaks %s", *s, ProtocolVersion)
	}
	return minor > protocolMinor, nil
}
