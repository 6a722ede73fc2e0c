package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// protocolV1 is the subprotocol on which runs have a log, see docs/protocol.md.
const protocolV1 = "agloop.v1.json"

// errFolded ends a load whose viewers were so far behind that they got several events as one.
var errFolded = errors.New("events were folded: a viewer was far behind")

// wireConn is where a connection of agloop.v1 stands. The zero value is a connection that has not been
// greeted.
type wireConn struct {
	secret  string // of hello
	greeted bool
	views   []view
	current int // of views: whose events come now
}

// view is one attachment of a connection: how far its run was received.
type view struct {
	number uint64
	run    string
	epoch  string
	next   uint64 // offset of the next event
}

// isControl reports whether a frame is none of an event.
func isControl(b []byte) bool { return len(b) > 0 && b[0] == '[' }

// control follows a frame of control. It returns the attachment that begins with it, if one does. What
// refuses something is an error: a load asks for nothing that may be refused.
func (w *wireConn) control(b []byte) (*view, error) {
	if number, offset, ok := laterSelector(b); ok {
		return nil, w.selected(number, offset)
	}
	var name string
	var body struct {
		Secret       string
		Run, Offset  uint64
		RunID, Epoch string
		Through      *uint64
	}
	if err := json.Unmarshal(b, &[]any{&name, &body}); err != nil {
		return nil, fmt.Errorf("malformed control %q: %w", b, err)
	}
	switch {
	case name == "hello":
		w.secret, w.greeted = body.Secret, true
		return nil, nil
	case name != "run":
		return nil, fmt.Errorf("refused: %s", b)
	case body.Through != nil:
		return nil, errFolded
	case body.Epoch == "":
		return nil, w.selected(body.Run, body.Offset)
	}
	w.current = len(w.views)
	w.views = append(w.views, view{number: body.Run, run: body.RunID, epoch: body.Epoch, next: body.Offset})
	return &w.views[w.current], nil
}

// selected makes the events that follow those of an attachment.
func (w *wireConn) selected(number, offset uint64) error {
	for i := range w.views {
		if v := &w.views[i]; v.number == number {
			w.current = i
			return v.expect(offset)
		}
	}
	return fmt.Errorf("selector of attachment %d, which nobody announced", number)
}

func (v *view) expect(offset uint64) error {
	if offset != v.next {
		return fmt.Errorf("event %d of %s, want %d: lost or doubled", offset, v.run, v.next)
	}
	return nil
}

// event counts an event and returns whose it is.
func (w *wireConn) event() (*view, error) {
	if len(w.views) == 0 {
		return nil, errors.New("event before a selector")
	}
	v := &w.views[w.current]
	v.next++
	return v, nil
}

// binding is the frame that joins the session of another connection.
func binding(secret string) []byte {
	return appendMasked(nil, opText, fmt.Appendf(nil, `["bind",{"ref":"b","secret":%q}]`, secret))
}

// attaching is the frame that asks for a run behind an offset; 0 is its start.
func attaching(run int32, epoch string, offset uint64) []byte {
	at := ""
	if offset > 0 {
		at = fmt.Sprintf(`,"epoch":%q,"offset":%d`, epoch, offset)
	}
	return appendMasked(nil, opText, fmt.Appendf(nil, `["attach",{"ref":"a","threadId":%q,"runId":%q%s}]`,
		threadOf(run), runOf(run), at))
}

// laterSelector reads ["run",{"run":1,"offset":2}], as most selectors are.
func laterSelector(b []byte) (number, offset uint64, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte(`["run",{"run":`))
	if !ok {
		return 0, 0, false
	}
	n, rest, ok := bytes.Cut(b, []byte(`,"offset":`))
	o, end := bytes.CutSuffix(rest, []byte(`}]`))
	if !ok || !end {
		return 0, 0, false
	}
	number, err1 := strconv.ParseUint(string(n), 10, 64)
	offset, err2 := strconv.ParseUint(string(o), 10, 64)
	return number, offset, err1 == nil && err2 == nil
}
