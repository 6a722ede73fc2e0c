package communitysdk

import (
	"bytes"
	"fmt"
	"io"

	"github.com/agloop/agloop/run"
)

// maxFrame is the most that is kept of an event that is not whole, in bytes.
const maxFrame = 16 << 20

// SSE returns a writer that takes server-sent events and emits what they carry: for agents that write
// to an SSEWriter of the SDK, or of another.
//
//	err := sse.NewSSEWriter().WriteEvent(ctx, communitysdk.SSE(run, nil), ev)
//
// Write emits each event that is whole, and its error is that of [Emit]. Use it from one goroutine at
// a time. noted is that of Emit.
func SSE(r *run.Run, noted func(Note)) io.Writer { return &sseWriter{run: r, noted: noted} }

type sseWriter struct {
	run   *run.Run
	noted func(Note)
	rest  []byte // of a line that is not whole
	data  []byte // of the event so far
}

// Write takes part of a stream of server-sent events (WHATWG HTML, "Server-sent events").
func (w *sseWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for rest := w.rest; ; {
		line, behind, whole := bytes.Cut(rest, []byte("\n"))
		if !whole {
			w.rest = append(w.rest[:0], rest...)
			break
		}
		if err := w.line(bytes.TrimSuffix(line, []byte("\r"))); err != nil {
			w.rest = append(w.rest[:0], behind...)
			return 0, err
		}
		rest = behind
	}
	if len(w.rest)+len(w.data) > maxFrame {
		w.rest, w.data = nil, nil
		return 0, fmt.Errorf("adapters/communitysdk: an event is longer than %d bytes", maxFrame)
	}
	return len(p), nil
}

// line takes one line of a stream. A blank one ends the event; of the others only data counts.
func (w *sseWriter) line(line []byte) error {
	if len(line) > 0 {
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			w.data = append(append(w.data, bytes.TrimPrefix(data, []byte(" "))...), '\n')
		}
		return nil
	}
	if len(w.data) == 0 {
		return nil
	}
	defer func() { w.data = w.data[:0] }()
	return emit(w.run, bytes.TrimSuffix(w.data, []byte("\n")), w.noted)
}
