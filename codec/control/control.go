package control

import (
	"bytes"
	"encoding/json"
	"errors"
)

// The subprotocols. Both have the same control: frames are text with Protocol and binary with
// ProtocolProto, whose events are protobuf.
const (
	Protocol      = "agloop.v1.json"
	ProtocolProto = "agloop.v1.proto"
	Version       = 1
)

// Speaks reports whether a subprotocol has control.
func Speaks(protocol string) bool { return protocol == Protocol || protocol == ProtocolProto }

// Names of what a server sends.
const (
	NameHello    = "hello"
	NameRun      = "run"
	NameGone     = "gone"
	NameConflict = "conflict"
	NameRejected = "rejected"
	NameSteered  = "steered"
	NameIdle     = "idle"
	NameGoing    = "going"
)

// Names of what a client sends.
const (
	NameAuth   = "auth"
	NameBind   = "bind"
	NameStart  = "start"
	NameAttach = "attach"
	NameFollow = "follow"
	NameLeave  = "leave"
	NameCancel = "cancel"
	NameSteer  = "steer"
)

// Hello is the first frame of a server.
type Hello struct {
	Version int `json:"version"`
	// Boot names the process, or the durable store: a start that had no answer may be sent again
	// only where it is the same.
	Boot string `json:"boot"`
	// Secret names the session of a client without a principal, see Bind. "" with a principal, and
	// where the first control is to be Auth.
	Secret string `json:"secret,omitempty"`
	// Resumable is ResumableProcess or ResumableDurable.
	Resumable string      `json:"resumable"`
	Limits    HelloLimits `json:"limits"`
}

// What Hello.Resumable says: runs outlive their connections while the process lives, or also that.
const (
	ResumableProcess = "process"
	ResumableDurable = "durable"
)

// HelloLimits are what a client must keep to.
type HelloLimits struct {
	Message     int `json:"message"`     // bytes of a frame to the server
	Attachments int `json:"attachments"` // of one connection at once
	Controls    int `json:"controls"`    // that wait to be handled
	Steer       int `json:"steer"`       // bytes of a text
}

// Run is the selector: the event frames behind it belong to an attachment. Ref, ThreadID, RunID,
// Epoch and Last come with the first of an attachment.
type Run struct {
	Run      uint64 `json:"run"` // the attachment; never used again on the connection
	Ref      string `json:"ref,omitempty"`
	ThreadID string `json:"threadId,omitempty"`
	RunID    string `json:"runId,omitempty"`
	Epoch    string `json:"epoch,omitempty"`
	// Offset is that of the next event frame; those behind it have the following ones.
	Offset uint64 `json:"offset"`
	// Through, where it is there, says that the next frame, which is one alone, stands for Offset to
	// Through; Offset-1: for none.
	Through *uint64 `json:"through,omitempty"`
	// Last is the offset of the log's last event when the attachment began.
	Last uint64 `json:"last,omitempty"`
}

// Gone says that a request ends, or the run it names: the run is unknown, or what is behind the
// cursor is not there any more, or it is not for this client.
type Gone struct {
	Ref      string `json:"ref"`
	ThreadID string `json:"threadId,omitempty"`
	RunID    string `json:"runId,omitempty"`
	Reason   string `json:"reason,omitempty"` // only for who may read the run
}

// Reasons of Gone.
const (
	ReasonTrimmed = "trimmed" // what is behind the cursor was dropped
	ReasonEpoch   = "epoch"   // the cursor is of another log
	ReasonFuture  = "future"  // the cursor is behind the end of the log
	ReasonEnded   = "ended"   // the run has ended, and its log is gone
	ReasonRevoked = "revoked" // the attachment was ended by the server
)

// Conflict says that a run of that name was started with another input.
type Conflict struct {
	Ref string `json:"ref"`
}

// Rejected says that a request is not carried out.
type Rejected struct {
	Ref   string `json:"ref"`
	Code  string `json:"code"`
	Field string `json:"field,omitempty"` // which member is wrong, and how
}

// Codes of Rejected, besides those of RUN_ERROR in package run: the wire's own.
const (
	CodeMalformed   = "malformed"            // a member is missing or has a wrong type
	CodeTimeout     = "timeout"              // it took longer than 5 s
	CodeAttachments = "too_many_attachments" // the connection has as many as it may
	CodeOrder       = "too_late"             // bind behind another control
	CodeAuth        = "unauthorized"         // the token is not accepted
)

// Steered answers Steer.
type Steered struct {
	Ref string `json:"ref"`
	ID  string `json:"id"`
	OK  bool   `json:"ok"`
}

// Idle says that all runs of a followed thread that there are have been sent, and none is live.
type Idle struct {
	Ref string `json:"ref"`
}

// Going says that the server shuts down: it starts no runs any more.
type Going struct {
	RetryAfter float64 `json:"retryAfter"` // seconds after which to connect again
}

// Auth carries the token that Authorize asked for by ErrAuthLater, and is then the first control: at
// most 16 KiB may come until the token is accepted, and that within 10 s of the handshake, or the
// connection is closed with 4010. Later it carries a fresh one for the same principal. It has no
// answer where the token is accepted: who has more than that to send behind it waits for the answer to
// another control, such as an Attach. Otherwise there is a Rejected with CodeAuth, behind which a
// connection that is nobody's yet is closed with 1008.
type Auth struct {
	Ref   string `json:"ref"`
	Token string `json:"token"`
}

// Bind joins the session of another connection by its secret. It comes before any other control but
// Auth.
type Bind struct {
	Ref    string `json:"ref"`
	Secret string `json:"secret"`
}

// Start begins a run. Input is the RunAgentInput as it was sent: the same bytes under the same
// names attach to the run that there is.
type Start struct {
	Ref   string          `json:"ref"`
	Input json.RawMessage `json:"input"`
}

// Attach asks for the events of a run behind a cursor; without one from the start.
type Attach struct {
	Ref      string `json:"ref"`
	ThreadID string `json:"threadId"`
	RunID    string `json:"runId"`
	Epoch    string `json:"epoch,omitempty"`
	Offset   uint64 `json:"offset,omitempty"`
}

// Follow asks for the runs of a thread, one after another, those to come included.
type Follow struct {
	Ref      string `json:"ref"`
	ThreadID string `json:"threadId"`
	After    *After `json:"after,omitempty"`
}

// After is where a Follow goes on.
type After struct {
	RunID  string `json:"runId"`
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// Leave ends an attachment by its number, or a Follow by its ref. Back says that the client comes
// back to the attachment: the run is not abandoned meanwhile.
type Leave struct {
	Run  uint64 `json:"run,omitempty"`
	Back bool   `json:"back,omitempty"`
	Ref  string `json:"ref,omitempty"`
}

// Cancel stops a run. It has no answer: the run ends.
type Cancel struct {
	ThreadID string `json:"threadId"`
	RunID    string `json:"runId"`
}

// Steer says something to a run that goes on. The same id has the same answer.
type Steer struct {
	Ref      string `json:"ref"`
	ThreadID string `json:"threadId"`
	RunID    string `json:"runId"`
	ID       string `json:"id"`
	Text     string `json:"text"`
}

// Reference is the ref of a request, which its answers carry.
func (c *Auth) Reference() string { return c.Ref }

// Reference is the ref.
func (c *Bind) Reference() string { return c.Ref }

// Reference is the ref.
func (c *Start) Reference() string { return c.Ref }

// Reference is the ref.
func (c *Attach) Reference() string { return c.Ref }

// Reference is the ref.
func (c *Follow) Reference() string { return c.Ref }

// Reference is the ref.
func (c *Steer) Reference() string { return c.Ref }

// IsControl reports whether a frame is control and not an event.
func IsControl(frame []byte) bool { return len(frame) > 0 && frame[0] == '[' }

// ErrMalformed says that a frame that begins as control does is none.
var ErrMalformed = errors.New("agloop: control is not [name,{…}]")

// Parse splits a control frame. body is borrowed from frame. The error is ErrMalformed.
func Parse(frame []byte) (name string, body json.RawMessage, err error) {
	inner, ok := bytes.CutPrefix(bytes.TrimSpace(frame), []byte("["))
	inner, closed := bytes.CutSuffix(inner, []byte("]"))
	inner, quoted := bytes.CutPrefix(bytes.TrimSpace(inner), []byte(`"`))
	text, rest, named := bytes.Cut(inner, []byte(`"`)) // no name of ours has an escape
	rest, more := bytes.CutPrefix(bytes.TrimSpace(rest), []byte(","))
	body = bytes.TrimSpace(rest)
	if !ok || !closed || !quoted || !named || !more || len(body) == 0 || body[0] != '{' || !json.Valid(body) {
		return "", nil, ErrMalformed
	}
	return string(text), body, nil
}

// Append appends a control frame: the name, which is one of this package, and what it carries.
func Append(dst []byte, name string, body any) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return dst, err
	}
	dst = append(dst, `["`...)
	dst = append(dst, name...)
	dst = append(dst, `",`...)
	dst = append(dst, b...)
	return append(dst, ']'), nil
}
