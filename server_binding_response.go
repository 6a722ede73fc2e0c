package agloop

import (
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/agloop/agloop/loop"
)

// acceptsProto reports whether a client names the protobuf framing among what it takes, with a quality
// above 0. Wildcards are not taken for it: who writes them can read text.
func acceptsProto(accept []string) bool {
	for _, list := range accept {
		for item := range strings.SplitSeq(list, ",") {
			name, params, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(name), typeProto) {
				continue
			}
			q := 1.0
			for param := range strings.SplitSeq(params, ";") {
				if k, v, _ := strings.Cut(param, "="); strings.EqualFold(strings.TrimSpace(k), "q") {
					q, _ = strconv.ParseFloat(strings.TrimSpace(v), 64)
				}
			}
			return q > 0
		}
	}
	return false
}

// responseWriter writes a response whose reader must go on: a piece that makes no progress for the time
// of one fails. Connections of the server's own see to that by themselves.
type responseWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration // 0: somebody else sees to it
}

func newResponseWriter(w http.ResponseWriter, r *http.Request, stall time.Duration) responseWriter {
	rw := responseWriter{w: w, control: http.NewResponseController(w)}
	if loop.HTTPConnOf(r.Context()) == nil {
		rw.stall = max(stall, 0)
		_ = rw.control.SetReadDeadline(time.Time{}) // the input was read: a timeout would end the context
		_ = rw.control.SetWriteDeadline(time.Time{})
	}
	return rw
}

// flushes reports whether a response can be sent piece by piece.
func flushes(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case interface{ FlushError() error }, http.Flusher:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// piece is how much of so many bytes is to be written at once.
func (rw *responseWriter) piece(n int) int {
	if rw.stall > 0 {
		return min(n, http2Piece)
	}
	return n
}

// bound gives the next piece its time.
func (rw *responseWriter) bound() error {
	if rw.stall > 0 {
		if err := rw.control.SetWriteDeadline(time.Now().Add(rw.stall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return nil
}

func (rw *responseWriter) flush() error {
	err := rw.control.Flush()
	if rw.stall > 0 && err == nil {
		_ = rw.control.SetWriteDeadline(time.Time{}) // the next response is another's
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errSlowStream
	}
	return err
}

// errSlowStream ends a stream whose client does not read.
var errSlowStream = errors.New("agloop: the client does not read")
